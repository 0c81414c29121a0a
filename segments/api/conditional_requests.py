"""Answers that are sent only if they differ from what the client has, and changes made only to what it has seen.

An entity tag has one part or two. The first stands for what a client may edit: ``If-Match`` compares it alone, so that
a refresh between reading and writing is no conflict. The second stands for all else that is shown.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeVar

from django.conf import settings
from django.http import HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.errors import ErrorSerializer
from segments.models import Segment

Tagged = TypeVar("Tagged", bound=HttpResponseBase)

NOT_MODIFIED = {
    304: OpenApiResponse(description="Nothing differs from what has the entity tag that was sent.")
}
PRECONDITION_FAILED = {
    412: OpenApiResponse(
        ErrorSerializer, "`changed`: it was edited since the `ETag` of `If-Match`; read it again."
    )
}
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="The `ETag` of the answer the client has."
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of the segment as the client has read it: one that was edited since is left as it is."
    " That it was refreshed meanwhile is no hindrance.",
)


class SegmentChanged(APIException):
    """What was to be changed is not any more as the client has seen it."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "changed"
    default_detail = "The segment was edited since you read it; read it again, and decide anew."


def segment_etag(segment: Segment) -> str:
    """Give the entity tag of a segment: what it is by definition, and how it stands."""
    how_it_stands = (
        *(segment.size, segment.known_size, segment.refreshed_at, segment.last_error),
        *(segment.status, settings.SPECTACULAR_SETTINGS["VERSION"]),
    )
    return f'"{_definition_digest(segment)}.{_digest(how_it_stands)}"'


def page_etag(page: Iterable[Segment], *links: object) -> str:
    """Give the entity tag of a page of segments."""
    return f'"{_digest((*links, *map(segment_etag, page)))}"'


def constant_etag(text: object) -> str:
    """Give the entity tag of an answer that is always the same."""
    return f'"{_digest((text,))}"'


def not_modified(request: Request, tag: str) -> HttpResponseBase | None:
    """Answer 304 where the client has what the tag stands for."""
    wanted = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" not in wanted and tag not in {one.removeprefix("W/") for one in wanted}:
        return None
    return with_etag(HttpResponseNotModified(), tag)


def with_etag(response: Tagged, tag: str) -> Tagged:
    """Tell the client the tag, and to ask before it shows the answer again."""
    response["ETag"] = tag
    patch_cache_control(response, private=True, no_cache=True)
    return response


def check_if_match(request: Request, segment: Segment) -> None:
    """Raise Changed where the client wants to change a segment as it is no more."""
    given = request.headers.get("If-Match")
    if given is None:
        return
    # A proxy that compresses answers makes their tags weak; they stand for the same definition.
    seen = {one.removeprefix("W/").strip('"').partition(".")[0] for one in parse_etags(given)}
    if "*" not in seen and _definition_digest(segment) not in seen:
        raise SegmentChanged


def respond_with_etag(request: Request, tag: str, data: object) -> HttpResponseBase:
    """Answer with data that has a tag; 304 where the client has it."""
    return not_modified(request, tag) or with_etag(Response(data), tag)


def _definition_digest(segment: Segment) -> str:
    return _digest((segment.pk, segment.updated_at))


def _digest(parts: tuple[object, ...]) -> str:
    return blake2b(repr(parts).encode(), digest_size=9).hexdigest()
