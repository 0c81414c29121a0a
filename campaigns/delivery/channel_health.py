"""The outcomes of a channel's latest messages, and whether it is paused. The only writer of ``ChannelHealth``.

If a mail server refuses more than a tenth of fifty messages, more messages would harm the shop's reputation. Sending
pauses until staff resume it.
"""

from datetime import datetime
from typing import Final

import structlog
from django.contrib.auth.models import User
from django.db import transaction

from campaigns.models import ChannelHealth
from customers.privacy.mentions import Mentions

log = structlog.get_logger(__name__)

RECENT_COUNT: Final = 50
MAX_REFUSED: Final = RECENT_COUNT // 10
ACCEPTED, REFUSED = ".", "x"


def record_outcomes(channel: str, outcomes: str, at: datetime, error: str = "") -> bool:
    """Record outcomes in their order; return whether the channel is paused now.

    It pauses as soon as more than a tenth of the latest fifty messages were refused.
    """
    if REFUSED not in outcomes and not ChannelHealth.objects.filter(channel=channel).exists():
        return False
    with transaction.atomic():
        ChannelHealth.objects.get_or_create(channel=channel)
        health = ChannelHealth.objects.select_for_update().get(channel=channel)
        health.recent = (health.recent + outcomes)[-RECENT_COUNT:]
        if error:
            health.last_error = error[:300]
        if health.paused_at is None and health.recent.count(REFUSED) > MAX_REFUSED:
            health.paused_at = at
            log.error("sending_paused", channel=channel, error=error)
        health.save()
    return health.paused_at is not None


def paused_channels() -> list[ChannelHealth]:
    """Return the paused channels with their latest error."""
    return list(ChannelHealth.objects.exclude(paused_at=None).order_by("channel"))


def erase_errors(mentions: Mentions) -> None:
    """Delete stored errors that mention an erased customer."""
    for health in ChannelHealth.objects.exclude(last_error=""):
        if mentions.in_text(health.last_error):
            ChannelHealth.objects.filter(pk=health.pk, last_error=health.last_error).update(last_error="")


def resume_channel(channel: str, by: User | None = None) -> bool:
    """Resume a channel and reset its counts; return whether it was paused."""
    paused = ChannelHealth.objects.filter(channel=channel).exclude(paused_at=None)
    was_paused = bool(paused.update(paused_at=None, recent="", last_error=""))
    if was_paused:
        log.info("sending_resumed", channel=channel, by=by.get_username() if by else "")
    return was_paused
