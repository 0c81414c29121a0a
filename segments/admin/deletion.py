"""What is deleted or changes with segments, and what prevents their deletion: shown before staff confirm it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.admin import protected_deletion
from segments.models import Endpoint, Segment, Star
from segments.rules import RuleError, parse

from .access import VIEW_ENDPOINT
from .texts import count_text

Consequences = Callable[[HttpRequest, list[Segment]], Iterator[str]]

MAX_WEBHOOKS: Final = 20
_registered: Final[list[Consequences]] = []


def register_consequences(consequences: Consequences) -> None:
    """Add sentences of another app about what is deleted with segments."""
    if consequences not in _registered:
        _registered.append(consequences)


def blocking_links(doomed: list[Segment]) -> list[SafeString]:
    """Return what has to be changed or ended first: segments that refer to the deleted ones, and campaigns."""
    return [
        *(
            format_html(
                '{}: the rule of <a class="link" href="{}">{} ({})</a> refers to it',
                name,
                reverse("admin:segments_segment_change", args=[user.pk]),
                user.name,
                user.slug,
            )
            for user, names in _remaining_referrers(doomed)
            for name in names
        ),
        *protected_deletion.protecting_links(doomed),
    ]


def consequences(request: HttpRequest, doomed: list[Segment]) -> list[str]:
    """Return what is deleted with the segments or changes, a sentence each."""
    return [text for source in (_own_consequences, *_registered) for text in source(request, doomed)]


def _own_consequences(request: HttpRequest, doomed: list[Segment]) -> Iterator[str]:
    for segment in doomed:
        yield format_html(
            "{}: its {} and its history are deleted. The customers stay.",
            segment.name,
            count_text(segment.size, "membership"),
        )
        if segment.is_public:
            yield format_html("{}: pages of the shop no longer see who is in it.", segment.name)
    yield from _webhook_consequences(request, doomed)
    if starred := Star.objects.filter(segment__in=doomed).values("user").distinct().count():
        yield f"{count_text(starred, 'person')} starred it.".replace("persons", "people")


def _webhook_consequences(request: HttpRequest, doomed: list[Segment]) -> Iterator[str]:
    for endpoint in Endpoint.objects.filter(every_segment=True)[:MAX_WEBHOOKS]:
        yield _webhook_text(request, endpoint, "")
    chosen = Endpoint.objects.filter(every_segment=False, segments__in=doomed).annotate(
        deleted=Count("segments")
    )
    for endpoint in chosen[:MAX_WEBHOOKS]:
        is_left_empty = endpoint.deleted == endpoint.segments.count()
        yield _webhook_text(request, endpoint, " It has no other segment." if is_left_empty else "")


def _webhook_text(request: HttpRequest, endpoint: Endpoint, text: str) -> SafeString:
    """Return the sentence, with a link for a person who may open the webhook."""
    name = endpoint.name
    if request.user.has_perm(VIEW_ENDPOINT):
        address = reverse("admin:segments_endpoint_change", args=[endpoint.pk])
        name = format_html('<a class="link" href="{}">{}</a>', address, name)
    return format_html(
        "The webhook {} sends no more messages about it. It does not report the members as having left.{}",
        name,
        text,
    )


def _remaining_referrers(doomed: Iterable[Segment]) -> Iterator[tuple[Segment, list[str]]]:
    """Yield the segments that refer to the deleted ones, each with the slugs that it refers to."""
    slugs = {segment.slug for segment in doomed}
    for user in Segment.objects.filter(kind=Segment.Kind.DYNAMIC).exclude(slug__in=slugs):
        with suppress(RuleError):  # an invalid rule is an error already
            if named := parse(user.rule).references() & slugs:
                yield user, sorted(named)
