"""The public segments of a visitor right now. Pages of the shop ask while they load, so every statement counts."""

from datetime import datetime
from typing import Final

from core.db import execution
from core.values.text_cleaning import to_nfc
from customers.models import Identity

from .evaluation import live
from .models.membership import Membership

# Unknown visitors are evaluated like others, so response times do not reveal who is known.
NO_CUSTOMER: Final = -1

_PUBLIC: Final = f"""SELECT {live.STATE_COLUMNS}, (
        SELECT customer_id FROM customers_identity WHERE kind = %s AND value = %s
    ) FROM segments_segment WHERE is_public AND (is_active OR kind = 'static') ORDER BY slug"""
_public = live.LiveSegmentsCache()


def find_public_segments(anonymous_id: str, at: datetime) -> list[str]:
    """Return the slugs of the public segments of a visitor, or of the customer who the visitor turned out to be.

    An unknown visitor is in no segment.
    """
    state, customer = _read_state(anonymous_id)
    if not state:
        return []
    published = _public.get(state)
    return sorted(_list_slugs(published, customer) + published.matching_slugs(customer, at))


def _read_state(anonymous_id: str) -> tuple[live.State, int]:
    """Return the state of the public segments, and the key of the customer with this id, with one statement."""
    # PostgreSQL rejects NUL characters, so no customer has such an id.
    value = "" if "\x00" in anonymous_id else to_nfc(anonymous_id)
    rows = execution.fetch_all(_PUBLIC, [Identity.Kind.ANONYMOUS_ID.value, value])
    customer = rows[0][-1] if rows else None
    return tuple(row[:-1] for row in rows), NO_CUSTOMER if customer is None else customer


def _list_slugs(published: live.LiveSegments, customer: int) -> list[str]:
    if not published.lists:
        return []
    on = Membership.objects.filter(customer=customer, segment__in=published.lists)
    return [published.lists[segment] for segment in on.values_list("segment_id", flat=True)]
