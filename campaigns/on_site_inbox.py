"""On-site messages for the pages of the shop, until they are dismissed or no longer relevant.

The only writer of ``Delivery.shown_at`` and ``Delivery.dismissed_at``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from core.values.text_cleaning import to_nfc
from customers.models import Identity

from .channels.on_site import OnSite
from .delivery import policy_queries
from .models.campaign import Campaign
from .models.delivery import Delivery

MAX_MESSAGES: Final = 3
DISPLAY_PERIOD: Final = timedelta(days=30)


def messages_for(anonymous_id: str, at: datetime, *, is_visitor: bool = True) -> Sequence[Delivery]:
    """Return the latest messages for a visitor, or the customer they were merged into, and mark them as shown.

    Messages of paused and stopped campaigns are left out, and so are those that are no longer relevant because the
    customer has ordered or left the segment. An unknown visitor has none. Messages are not marked as shown unless
    ``is_visitor``.
    """
    messages = list(
        _open_messages_queryset(anonymous_id)
        .filter(_still_relevant_q(at))
        .order_by("-sent_at", "-pk")[:MAX_MESSAGES]
    )
    new = [message.pk for message in messages if message.shown_at is None and is_visitor]
    if new:
        Delivery.objects.filter(pk__in=new, shown_at=None).update(shown_at=at)
    return messages


def dismiss(anonymous_id: str, token: UUID, at: datetime) -> None:
    """Dismiss a message for its visitor; does nothing for other visitors, or if it is dismissed already."""
    _open_messages_queryset(anonymous_id).filter(token=token).update(dismissed_at=at)


def _open_messages_queryset(anonymous_id: str) -> QuerySet[Delivery]:
    # PostgreSQL stores no NUL, so no visitor has one.
    value = "" if "\x00" in anonymous_id else to_nfc(anonymous_id)
    customers = Identity.objects.filter(kind=Identity.Kind.ANONYMOUS_ID, value=value).values("customer")
    return Delivery.objects.filter(
        customer__in=customers, state=Delivery.State.SENT, step__channel=OnSite.key, dismissed_at=None
    )


def _still_relevant_q(at: datetime) -> Q:
    is_member = Q(policy_queries.is_member_q("customer_id", "campaign__segment_id"))
    is_for_leavers = Q(campaign__trigger=Campaign.Trigger.LEAVES)
    has_exited = (is_member & is_for_leavers) | (~is_member & ~is_for_leavers)
    return Q(
        ~Q(has_exited, campaign__exit_when_not_member=True),
        ~Q(policy_queries.has_ordered_q("customer_id", "sent_at", at), campaign__ends_with_order=True),
        campaign__state__in=(Campaign.State.RUNNING, Campaign.State.DONE),
        sent_at__gt=at - DISPLAY_PERIOD,
        sent_at__lte=at,
    )
