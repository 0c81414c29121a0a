"""Conditional requests with entity tags: ``If-None-Match`` and ``If-Match``.

The tag of a segment has two parts. The first stands for what a client can edit. ``If-Match`` compares only this part,
so that a refresh between reading and writing is no conflict. The second part stands for everything else.
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

NOT_MODIFIED = {304: OpenApiResponse(description="Nothing has changed since the response with this `ETag`.")}
PRECONDITION_FAILED = {
    412: OpenApiResponse(
        ErrorSerializer,
        "`changed`: the segment was edited since the response with this `ETag`. Read it again.",
    )
}
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of the response that the client has.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of the segment that the client has read. If the segment was edited since, the request fails"
    " with 412. A refresh does not count as an edit.",
)


class SegmentChanged(APIException):
    """The segment was edited since the client read it."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "changed"
    default_detail = "The segment was edited since you read it. Read it again, then repeat your change."


def segment_etag(segment: Segment) -> str:
    """Return the entity tag of a segment."""
    state = (
        *(segment.size, segment.known_size, segment.refreshed_at, segment.last_error),
        *(segment.status, settings.SPECTACULAR_SETTINGS["VERSION"]),
    )
    return f'"{_definition_digest(segment)}.{_digest(state)}"'


def page_etag(page: Iterable[Segment], *links: object) -> str:
    """Return the entity tag of a page of segments."""
    return f'"{_digest((*links, *map(segment_etag, page)))}"'


def constant_etag(text: object) -> str:
    """Return the entity tag of a response that does not depend on a segment."""
    return f'"{_digest((text,))}"'


def not_modified(request: Request, tag: str) -> HttpResponseBase | None:
    """Return a 304 response if the client has the version with this tag, or None."""
    wanted = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" not in wanted and tag not in {one.removeprefix("W/") for one in wanted}:
        return None
    return with_etag(HttpResponseNotModified(), tag)


def with_etag(response: Tagged, tag: str) -> Tagged:
    """Add the tag to a response. Clients must revalidate before they use it again."""
    response["ETag"] = tag
    patch_cache_control(response, private=True, no_cache=True)
    return response


def check_if_match(request: Request, segment: Segment) -> None:
    """Raise SegmentChanged if the segment was edited since the client read it."""
    given = request.headers.get("If-Match")
    if given is None:
        return
    # A proxy that compresses responses makes their tags weak. They stand for the same definition.
    seen = {one.removeprefix("W/").strip('"').partition(".")[0] for one in parse_etags(given)}
    if "*" not in seen and _definition_digest(segment) not in seen:
        raise SegmentChanged


def respond_with_etag(request: Request, tag: str, data: object) -> HttpResponseBase:
    """Return data with its tag, or 304 if the client has it."""
    return not_modified(request, tag) or with_etag(Response(data), tag)


def _definition_digest(segment: Segment) -> str:
    return _digest((segment.pk, segment.updated_at))


def _digest(parts: tuple[object, ...]) -> str:
    return blake2b(repr(parts).encode(), digest_size=9).hexdigest()
