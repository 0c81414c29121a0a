"""The list of segments: tags, the person's stars, and what narrows the list."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString

from core.admin.permissions import WRITE_METHODS, require_permissions, staff_user
from segments import labels
from segments.models import MAX_TAG_LENGTH, Segment, Star, Tag

from .access import VIEW_SEGMENT

MAX_TAGS_SHOWN = 30


class TagFilter(admin.SimpleListFilter):
    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in all_tags()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Segment]) -> QuerySet[Segment]:
        name = self.value()
        if not name or "\x00" in name or len(name) > MAX_TAG_LENGTH:
            return queryset
        return queryset.filter(Exists(Tag.objects.filter(segment=OuterRef("pk"), name=name)))


class StarFilter(admin.SimpleListFilter):
    title = "star"
    parameter_name = "starred"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Starred")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Segment]) -> QuerySet[Segment]:
        return queryset.filter(has_star(request)) if self.value() == "yes" else queryset


class KindFilter(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(Segment.Kind.DYNAMIC, "By rule"), (Segment.Kind.STATIC, "Fixed lists")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Segment]) -> QuerySet[Segment]:
        return queryset.filter(kind=self.value()) if self.value() in Segment.Kind.values else queryset


def all_tags() -> list[str]:
    """Return the tags of all segments, each once."""
    return list(Tag.objects.order_by("name").values_list("name", flat=True).distinct())


def with_stars(segments: QuerySet[Segment], request: HttpRequest) -> QuerySet[Segment]:
    """Add ``is_starred``: whether the person has marked the segment."""
    return segments.annotate(is_starred=has_star(request))


def has_star(request: HttpRequest) -> Exists:
    """Return an expression: whether the person has marked a segment."""
    return Exists(Star.objects.filter(user=staff_user(request), segment=OuterRef("pk")))


def is_starred(request: HttpRequest, segment: Segment) -> bool:
    return Star.objects.filter(user=staff_user(request), segment=segment).exists()


def star_button(segment: Segment, *, is_starred: bool) -> SafeString:
    """Return a button that marks a segment, or removes the mark, within a form that is sent by POST."""
    return format_html(
        '<button type="submit" class="star" name="starred" value="{}" formaction="{}" aria-pressed="{}"'
        ' aria-label="Star {}" title="Star"><span class="material-symbols-outlined" aria-hidden="true">star</span>'
        "</button>",
        "no" if is_starred else "yes",
        reverse("admin:segments_segment_star", args=[segment.pk]),
        "true" if is_starred else "false",
        segment.name,
    )


def tag_chips(segment: Segment) -> SafeString:
    """Return a link for each tag of a segment, to the segments with the same tag."""
    address = reverse("admin:segments_segment_changelist")
    return format_html_join(
        " ",
        '<a class="chip" href="{}">{}</a>',
        ((f"{address}?{_query(tag=tag.name)}", tag.name) for tag in segment.tags.all()),
    )


def list_context(request: HttpRequest) -> dict[str, Any]:
    """Return the choices above the list: each a title, a URL, and whether it is chosen."""
    given = request.GET
    choices = [
        ("All", "", not any(given.get(name) for name in ("starred", "tag", "kind"))),
        ("★ Starred", _query(starred="yes"), given.get("starred") == "yes"),
        ("Fixed lists", _query(kind="static"), given.get("kind") == "static"),
    ]
    tags = all_tags()[:MAX_TAGS_SHOWN]
    choices += [(tag, _query(tag=tag), given.get("tag") == tag) for tag in tags]
    return {"choices": choices}


@require_permissions(VIEW_SEGMENT, methods=WRITE_METHODS)
def star_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Mark a segment for this person, or remove the mark, and go back to the page that asked."""
    segment = get_object_or_404(Segment, pk=pk)
    labels.set_star(staff_user(request), segment, starred=request.POST.get("starred") == "yes")
    back = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        return redirect(back)
    return redirect("admin:segments_segment_changelist")


def _query(**parameters: str) -> str:
    return urlencode(parameters)
