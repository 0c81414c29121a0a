"""Whether all is well: do refreshes come as scheduled, was a segment found right, do webhooks take messages."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django_celery_beat.models import PeriodicTask

from .models import Endpoint, Segment
from .models.refresh import Refresh, Verification

LATE_REFRESH_GRACE = timedelta(minutes=3)
"""How long after its time a scheduled refresh may still begin before somebody should look."""
FAILING_ENDPOINT_GRACE = timedelta(minutes=10)
REFRESH_TASK = "segments.tasks.refresh_all"


@dataclass(frozen=True)
class VerificationStatus:
    """What the latest verification of all members says of one segment.

    ``state`` is right, different, edited (since then) or skipped, which ``reason`` explains.
    """

    verification: Verification
    state: str
    reason: str = ""


def verification_status(segment: Segment) -> VerificationStatus | None:
    """Tell how the latest verification found a segment; None where none has looked at it."""
    run = (
        Verification.objects.filter(started_at__gt=segment.created_at, error="")
        .exclude(finished_at=None)
        .first()
    )
    if run is None:
        return None
    for told in run.details:
        if told.get("segment") == segment.slug:
            reason = told.get("skipped", "")
            return VerificationStatus(run, "skipped" if reason else "different", reason)
    return VerificationStatus(run, "edited" if segment.updated_at > run.started_at else "right")


@dataclass(frozen=True)
class RefreshHealth:
    """How refreshes come: the latest one, and whether the next is late, or none is planned."""

    latest: Refresh | None
    is_late: bool = False
    is_planned: bool = True
    age: timedelta | None = None


def refresh_health(now: datetime) -> RefreshHealth:
    """Tell whether refreshes come as scheduled, which shows whether worker and beat are running."""
    latest = Refresh.objects.exclude(state=Refresh.State.QUEUED).first()
    plans = list(PeriodicTask.objects.filter(task=REFRESH_TASK, enabled=True))
    age = max(now - latest.started_at, timedelta()) if latest else None
    if latest is None or not plans:
        return RefreshHealth(latest, is_late=bool(plans), is_planned=bool(plans), age=age)
    due_in = []
    for plan in plans:
        schedule = plan.schedule
        schedule.nowfun = lambda: now
        due_in.append(schedule.remaining_estimate(latest.started_at))
    return RefreshHealth(latest, is_late=min(due_in) < -LATE_REFRESH_GRACE, age=age)


def troubled_endpoints(now: datetime) -> list[Endpoint]:
    """Give the webhooks that were stopped by themselves, or have taken nothing for a while."""
    failing = Q(is_active=True, failing_since__lt=now - FAILING_ENDPOINT_GRACE)
    stopped = Q(is_active=False) & ~Q(stopped_because="")
    return list(Endpoint.objects.filter(failing | stopped))
