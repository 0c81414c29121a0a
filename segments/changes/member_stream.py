"""Streaming the members of a segment, however many, for downloads and the API."""

from collections.abc import Iterator
from typing import Any

from segments.models import Membership, Segment

MEMBERS_BATCH_SIZE = 5_000
CONTACT_COLUMNS = ("email", "phone", "first_name", "last_name")


def member_batches(
    segment: Segment | int, columns: tuple[str, ...], after: int = 0
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the members after a key, in the order of keys: key, ``entered_at``, and columns of the customer.

    Each batch is its own query, so no transaction stays open while a slow client reads. A customer who stays a member
    comes exactly once.
    """
    members = Membership.objects.filter(segment=segment).order_by("customer_id")
    # Values are much faster than objects for half a million members.
    rows = members.values_list("customer_id", "entered_at", *(f"customer__{column}" for column in columns))
    has_more = True
    while has_more:
        batch = list(rows.filter(customer_id__gt=after)[:MEMBERS_BATCH_SIZE])
        has_more = len(batch) == MEMBERS_BATCH_SIZE
        if batch:
            after = batch[-1][0]
            yield batch
