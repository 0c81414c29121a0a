"""The template context that all pages of this app share."""

from typing import Any

from django.http import HttpRequest

from segments.models import Segment

from . import segment_list, tabs, texts


def admin_context(
    model_admin: Any, request: HttpRequest, title: str, segment: Segment | None = None
) -> dict[str, Any]:
    """Return the admin's own context, the title, and what the head of a segment's page shows."""
    context = {**model_admin.admin_site.each_context(request), "title": title, "opts": model_admin.opts}
    return context | segment_context(request, segment) | {"original": segment} if segment else context


def segment_context(request: HttpRequest, segment: Segment) -> dict[str, Any]:
    """Return what the head of a segment's page shows."""
    return {
        "segment": segment,
        "sentence": texts.segment_sentence(segment),
        "status": texts.status_text(segment),
        "status_label": texts.status_label(segment),
        "more_tabs": tabs.tab_links(request, segment),
        "star": segment_list.star_button(segment, is_starred=segment_list.is_starred(request, segment)),
        "tags": segment_list.tag_chips(segment),
    }
