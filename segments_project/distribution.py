"""Where tables are in a PostgreSQL that is distributed over machines: the customers' tables by customer.

A new model that refers to a customer is listed here, too: either as distributed, or as kept on the coordinator.
"""

from typing import Final

from core.db.distribution import Layout

LAYOUT: Final = Layout(
    distributed={
        "customers_customer": "id",
        **dict.fromkeys(
            (
                "customers_order",
                "customers_orderline",
                "customers_event",
                "customers_eventproduct",
                "customers_consentchange",
                "customers_datedattribute",
                "customers_facts",
                "customers_upcoming",
                "customers_stalefacts",
                "customers_appendedevent",
                "customers_appendedorder",
                "customers_touched",
                "segments_membership",
            ),
            "customer_id",
        ),
    },
)

ON_COORDINATOR: Final = frozenset(
    (
        # Found by an id, which says nothing about the customer
        "customers_identity",
        # Read in the order of the rows' ids
        "segments_change",
        "segments_message",
        # Read by campaign, and claimed in the order of their times
        "campaigns_journey",
        "campaigns_delivery",
        # Unique codes
        "campaigns_coupon",
        # Compared with the members of one segment at a time
        "campaigns_audiencemember",
    )
)
"""Tables that refer to customers, but are not distributed."""
