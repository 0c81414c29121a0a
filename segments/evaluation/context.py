"""Evaluation contexts: the instant, the facts that hold then, and the statistics of the population."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.conf import settings

from customers import facts
from segments.rules import EvaluationContext, Figures


def context_at(at: datetime | None = None, figures: Figures | None = None) -> EvaluationContext:
    """Return the context of an instant, by default now; figures that are not given are computed when needed.

    Queued facts are updated first, so that every record counts.
    """
    now = datetime.now(UTC)
    facts.settle(now if at is None else min(at, now))
    if at is None:
        at = current_instant(now)
    return EvaluationContext(
        at, shop_zone(), facts.relation_at(at), Figures() if figures is None else figures
    )


def context_from_records(at: datetime, figures: Figures) -> EvaluationContext:
    """Return the context of an instant with facts computed from the records, whatever facts are stored."""
    return EvaluationContext(at, shop_zone(), facts.recompute_at(at), figures)


def current_instant(now: datetime) -> datetime:
    """Return ``now``, or the instant of the stored facts if that is later."""
    return max(now, facts.settled_at() or now)


def shop_zone() -> ZoneInfo:
    """Return the shop's time zone."""
    return ZoneInfo(settings.TIME_ZONE)
