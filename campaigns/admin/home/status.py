"""The technical state as one sentence, with what it is made of: refreshes and verifications."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from django.http import HttpRequest
from django.urls import reverse

from core.durations import rough_duration_text
from segments import health
from segments.health import RefreshHealth
from segments.models import Segment, Verification

Level = Literal["ok", "late", "wrong"]
VIEW_REFRESH = "segments.view_refresh"
VIEW_VERIFICATION = "segments.view_verification"
VIEW_SCHEDULE = "django_celery_beat.view_periodictask"


@dataclass(frozen=True)
class Finding:
    """One part of the state; ``headline`` stands for it where something is late or wrong.

    ``permission`` is needed to open the page of the link.
    """

    level: Level
    text: str
    headline: str = ""
    link: str = ""
    url: str = ""
    permission: str = ""


@dataclass(frozen=True)
class Status:
    """The state, and the findings that it consists of."""

    findings: Sequence[Finding]

    @property
    def level(self) -> Level:
        levels = {finding.level for finding in self.findings}
        return "wrong" if "wrong" in levels else "late" if "late" in levels else "ok"

    @property
    def sentence(self) -> str:
        worst = [finding for finding in self.findings if finding.level != "ok"]
        if not worst:
            return "Everything is up to date"
        worst.sort(key=lambda finding: finding.level != "wrong")
        return worst[0].headline


def system_status(request: HttpRequest, segments: Sequence[Segment], now: datetime) -> Status:
    """Return the state, with links to the pages that the person may open."""
    if not segments:
        return Status([])
    findings = (*_refresh_findings(health.refresh_health(now)), *_verification_findings())
    return Status(
        [
            finding if request.user.has_perm(finding.permission) else replace(finding, link="", url="")
            for finding in findings
        ]
    )


def _refresh_findings(refreshes: RefreshHealth) -> Iterator[Finding]:
    age = rough_duration_text(refreshes.age) if refreshes.age is not None else ""
    if not refreshes.is_planned:
        yield Finding(
            "wrong",
            "No refresh is scheduled, so the members are not updated. An administrator can switch “Refresh all active"
            " segments” on again.",
            "Segments are not updated",
            "Schedules",
            reverse("admin:django_celery_beat_periodictask_changelist"),
            VIEW_SCHEDULE,
        )
    elif refreshes.latest is None:
        yield Finding(
            "late", "The segments were not refreshed yet.", "Segments are waiting for the first refresh"
        )
    elif refreshes.is_late:
        yield Finding(
            "late",
            f"The next refresh is late: the latest started {age} ago. Background work may have stopped.",
            f"Segments are as of {age} ago",
            "The latest refresh",
            reverse("admin:segments_refresh_change", args=[refreshes.latest.pk]),
            VIEW_REFRESH,
        )
    else:
        yield Finding(
            "ok",
            f"The latest refresh of the segments started {age} ago.",
            link="The latest refresh",
            url=reverse("admin:segments_refresh_change", args=[refreshes.latest.pk]),
            permission=VIEW_REFRESH,
        )


def _verification_findings() -> Iterator[Finding]:
    verified = Verification.objects.exclude(finished_at=None).first()
    if verified is None:
        yield Finding(
            "ok", "The members are compared with all records every night. This has not happened yet."
        )
        return
    url = reverse("admin:segments_verification_change", args=[verified.pk])
    link = ("The last verification", url, VIEW_VERIFICATION)
    match verified.state:
        case "different":
            count = f"{verified.differing} segment{'' if verified.differing == 1 else 's'}"
            yield Finding(
                "wrong",
                f"The members of {count} were not exactly right.",
                "Some members were not right",
                *link,
            )
        case "failed":
            yield Finding("wrong", "The last verification failed.", "The last verification failed", *link)
        case "nobody":
            yield Finding(
                "late",
                "The last verification compared nobody.",
                "The last verification compared nobody",
                *link,
            )
        case _:
            yield Finding("ok", "All members were right at the last verification.", "", *link)
