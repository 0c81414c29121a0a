"""The page of a finished import: what it means for the segments, and what to do next."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest
from django.urls import reverse

from campaigns.playbook import catalogue
from customers.admin import imports as base
from customers.models import Import
from segments.admin.access import ADD_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from segments.models import Refresh, RefreshResult, Segment

from . import access

MAX_SEGMENTS: Final = 8
MAX_WAIT: Final = timedelta(minutes=10)
"""How long the page waits for the refresh after an import."""

admin.site.unregister(Import)


@dataclass(frozen=True)
class Entries:
    """How many customers entered a segment from the start of an import to the first refresh after it."""

    segment: Segment
    entered: int


@admin.register(Import)
class ImportAdmin(base.ImportAdmin):
    finished_template = "campaigns/admin/import_finished.html"

    def progress_context(self, request: HttpRequest, upload: Import) -> dict[str, Any]:
        context = super().progress_context(request, upload)
        if upload.state != Import.State.DONE or not upload.finished_at:
            return context
        has_segments = Segment.objects.exists()
        refresh = _refresh_after(upload)
        entries = _entries(upload, refresh) if refresh else []
        sees_segments = request.user.has_perm(VIEW_SEGMENT)
        is_recent = datetime.now(UTC) - upload.finished_at < MAX_WAIT
        return context | {
            "has_segments": has_segments,
            "sees_segments": sees_segments,
            "sees_customers": request.user.has_perm(VIEW_CUSTOMER),
            "refresh": refresh,
            "entries": entries[:MAX_SEGMENTS],
            "more_entries": len(entries) - MAX_SEGMENTS,
            "may_install": request.user.has_perm(ADD_SEGMENT),
            "campaign_url": _campaign_url(entries) if request.user.has_perm(access.ADD_CAMPAIGN) else "",
            "reloads": sees_segments and has_segments and refresh is None and is_recent,
        }


def _refresh_after(upload: Import) -> Refresh | None:
    """Return the first refresh of all segments that saw all records of an import, once it has ended."""
    return (
        Refresh.objects.filter(
            segment=None, finished_at__isnull=False, at__gte=upload.finished_at or upload.uploaded_at
        )
        .order_by("pk")
        .first()
    )


def _entries(upload: Import, last: Refresh) -> list[Entries]:
    """Return the segments that customers entered, those with the most first."""
    results = RefreshResult.objects.filter(
        refresh__pk__lte=last.pk, refresh__started_at__gte=upload.started_at or upload.uploaded_at
    )
    entered = dict(results.values_list("segment").annotate(entered=Sum("entered")).filter(entered__gt=0))
    found = [Entries(segment, entered[segment.pk]) for segment in Segment.objects.filter(pk__in=entered)]
    return sorted(found, key=lambda entry: (-entry.entered, entry.segment.name))


def _campaign_url(entries: list[Entries]) -> str:
    """Return the page of campaigns for the largest of these segments that has a tactic of its own, or for any."""
    for entry in entries:
        if any(tactic.segments for tactic in catalogue.tactics_for_segment(entry.segment)):
            return reverse("admin:campaigns_campaign_segment", args=[entry.segment.pk])
    return reverse("admin:campaigns_campaign_add")
