"""The page of a segment fills while a person looks: it asks every two seconds whether the members are right."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from core.admin.permissions import READ_METHODS, require_permissions
from segments.models import Refresh, Segment

from .access import VIEW_SEGMENT


def is_filling(segment: Segment) -> bool:
    """Return whether the next refresh brings members for the first time, or for an edited rule."""
    return segment.status in (Segment.Status.NEW, Segment.Status.EDITED)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def filling_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Return how far the refresh is, or tell htmx to show the page with its members."""
    segment = get_object_or_404(Segment, pk=pk)
    if not is_filling(segment):
        return HttpResponse(headers={"HX-Refresh": "true"})
    return TemplateResponse(request, "segments/admin/filling.html", filling_context(segment))


def filling_context(segment: Segment) -> dict[str, Any]:
    """Return the refresh that evaluates the segment now, and whether one waits for a worker."""
    runs = Refresh.objects.filter(segment__in=[segment]) | Refresh.objects.filter(segment=None)
    return {
        "segment": segment,
        "running": runs.filter(state=Refresh.State.RUNNING).first(),
        "is_queued": runs.filter(state=Refresh.State.QUEUED).exists(),
    }
