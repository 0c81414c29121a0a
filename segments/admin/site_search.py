"""Segments in the search of the admin."""

from collections.abc import Iterator

from django.http import HttpRequest
from django.urls import reverse

from core import search
from segments.models import Segment

from .access import VIEW_SEGMENT


@search.register
def find_segments(request: HttpRequest, term: str) -> Iterator[search.Results]:
    if request.user.has_perm(VIEW_SEGMENT):
        segments = Segment.objects.order_by("name", "pk").only("name", "slug", "description")
        found = search.best_matches(segments, term, lambda one: (one.name, one.slug, one.description))
        yield search.Results(
            "Segments",
            "groups",
            [
                search.Result(
                    one.name, reverse("admin:segments_segment_change", args=[one.pk]), one.description
                )
                for one in found
            ],
        )
