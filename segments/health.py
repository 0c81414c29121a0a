"""Health: refreshes come as scheduled, the last verification found no difference, webhooks deliver messages."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django_celery_beat.models import PeriodicTask

from .models import Endpoint, Segment
from .models.refresh import Refresh, Verification

LATE_REFRESH_GRACE = timedelta(minutes=3)
"""How late a scheduled refresh may start before staff see a warning."""
FAILING_ENDPOINT_GRACE = timedelta(minutes=10)
REFRESH_TASK = "segments.tasks.refresh_all"


@dataclass(frozen=True)
class VerificationStatus:
    """The result of the latest verification for one segment.

    ``state`` is right, different, edited (since the verification), or skipped, for which ``reason`` says why.
    """

    verification: Verification
    state: str
    reason: str = ""


def verification_status(segment: Segment) -> VerificationStatus | None:
    """Return the result of the latest verification for a segment; None if there is none."""
    run = (
        Verification.objects.filter(started_at__gt=segment.created_at, error="")
        .exclude(finished_at=None)
        .first()
    )
    if run is None:
        return None
    for detail in run.details:
        if detail.get("segment") == segment.slug:
            reason = detail.get("skipped", "")
            return VerificationStatus(run, "skipped" if reason else "different", reason)
    return VerificationStatus(run, "edited" if segment.updated_at > run.started_at else "right")


@dataclass(frozen=True)
class RefreshHealth:
    """The latest refresh, and whether the next one is late, or none is scheduled."""

    latest: Refresh | None
    is_late: bool = False
    is_planned: bool = True
    age: timedelta | None = None


def refresh_health(now: datetime) -> RefreshHealth:
    """Return whether refreshes come as scheduled, which shows whether worker and beat are running."""
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
    """Return the webhooks that stopped after failures, or have been failing for a while."""
    failing = Q(is_active=True, failing_since__lt=now - FAILING_ENDPOINT_GRACE)
    stopped = Q(is_active=False) & ~Q(stop_reason="")
    return list(Endpoint.objects.filter(failing | stopped))
