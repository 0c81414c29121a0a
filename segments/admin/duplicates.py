"""Duplicating a segment: the form of a new one, filled with what another one says."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from segments.models import Segment

from .forms import tags_text
from .free_slugs import free_slug

PARAMETER = "duplicate"


def duplicate_url(segment: Segment) -> str:
    """Return the page that creates a copy: the rule in the form of a new segment, or the members in a new list."""
    if not segment.is_dynamic:
        return reverse("admin:segments_segment_freeze", args=[segment.pk])
    return f"{reverse('admin:segments_segment_add')}?{urlencode({PARAMETER: segment.pk})}"


def initial_data(request: HttpRequest) -> dict[str, Any] | None:
    """Return the fields of the segment to duplicate, or None if the request names none."""
    given = request.GET.get(PARAMETER, "")
    key = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
    segment = Segment.objects.filter(pk=key, kind=Segment.Kind.DYNAMIC).first()
    if segment is None:
        return None
    return {
        "name": f"Copy of {segment.name}"[:200],
        "slug": free_slug(segment.slug),
        "description": segment.description,
        "rule": segment.rule,
        "tags": tags_text(segment),
        "is_active": segment.is_active,
        "is_public": False,
    }
