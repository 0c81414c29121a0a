"""On-site messages for the pages of the shop, until they are dismissed or no longer relevant.

The only writer of ``Delivery.shown_at`` and ``Delivery.dismissed_at``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from core.values.text_cleaning import to_nfc
from customers.models import Identity

from .channels.on_site import OnSite
from .delivery.policy_queries import Endings, Stay
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
    newest = (
        _open_messages_queryset(anonymous_id)
        .filter(
            campaign__state__in=(Campaign.State.RUNNING, Campaign.State.DONE),
            sent_at__gt=at - DISPLAY_PERIOD,
            sent_at__lte=at,
        )
        .select_related("campaign")
        .order_by("-sent_at", "-pk")
    )
    messages = _still_relevant(list(newest), at)[:MAX_MESSAGES]
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


def _still_relevant(messages: Sequence[Delivery], at: datetime) -> list[Delivery]:
    """Return the messages whose customers have not ordered since or left the segment, as their campaigns say."""
    stays = [
        Stay(one.pk, one.customer_id, one.campaign, one.sent_at)
        for one in messages
        if one.sent_at is not None
    ]
    endings = Endings(stays, at)
    ended = {stay.key for stay in stays if endings.has_ordered(stay) or endings.has_exited(stay)}
    return [one for one in messages if one.pk not in ended]
