"""The members of a segment one after another, however many: what downloads and streams are made of."""

from collections.abc import Iterator
from typing import Any

from segments.models import Membership, Segment

MEMBERS_BATCH_SIZE = 5_000
CONTACT_COLUMNS = ("email", "phone", "first_name", "last_name")


def member_batches(
    segment: Segment, columns: tuple[str, ...], after: int = 0
) -> Iterator[list[tuple[Any, ...]]]:
    """Give the members in the order of their keys, behind one of them: key, ``entered_at``, columns of the customer.

    Each share is a query of its own: no transaction stays open while a slow reader takes minutes. Whoever is a member
    all the time comes exactly once.
    """
    members = Membership.objects.filter(segment=segment).order_by("customer_id")
    # Plain values: half a million members as objects would take minutes.
    rows = members.values_list("customer_id", "entered_at", *(f"customer__{column}" for column in columns))
    is_more = True
    while is_more:
        share = list(rows.filter(customer_id__gt=after)[:MEMBERS_BATCH_SIZE])
        is_more = len(share) == MEMBERS_BATCH_SIZE
        if share:
            after = share[-1][0]
            yield share
