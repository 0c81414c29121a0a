"""Who will enter and leave a segment by time alone, page by page."""

from datetime import UTC, timedelta
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import streaming, throttling
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from core.api.pagination import MAX_PAGE_SIZE, parse_page_size
from core.db import time_limits
from core.durations import parse_duration
from segments.evaluation import counting
from segments.evaluation.upcoming import MAX_WITHIN, UpcomingChange, find_upcoming
from segments.models import Segment
from segments.rules import RuleError, parse

from .members import CAN_READ_MEMBERS
from .places import Place, link, parse_place
from .segments import SEGMENT_NOT_FOUND, get_segment

MIN_WITHIN = timedelta(days=1)
WITHIN_PATTERN = "^(([1-9]|[1-8][0-9]|90)d|([1-9]|1[0-2])w)$"
MAX_SECONDS = 10.0
COLUMNS = ("customer_id", "change", "at")
EXAMPLE = {"customer_id": "1042", "change": "left", "at": "2026-04-02T14:27:03.000000Z"}


class UpcomingTookTooLong(APIException):
    """The evaluation was stopped."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "took_too_long"
    default_detail = (
        f"The evaluation took longer than {MAX_SECONDS:.0f} seconds and was stopped. Ask for fewer days;"
        " `manage.py upcoming` has no time limit."
    )


@extend_schema_serializer(examples=[OpenApiExample("One who will leave", EXAMPLE)])
class UpcomingChangeSerializer(serializers.Serializer[Any]):
    """A customer who will enter or leave."""

    customer_id = serializers.CharField()
    change = serializers.ChoiceField(choices=["entered", "left"])
    at = serializers.CharField(help_text="The instant, in UTC with microseconds.")


class UpcomingPageSerializer(serializers.Serializer[Any]):
    """A page of upcoming changes."""

    next = serializers.URLField(allow_null=True, help_text="The URL of the next page. Null on the last page.")
    previous = serializers.URLField(
        allow_null=True, help_text="The URL of the previous page. Null on the first page."
    )
    results = UpcomingChangeSerializer(many=True)


class UpcomingView(streaming.StreamingView):
    """The upcoming changes of a segment."""

    permission_classes = [CAN_READ_MEMBERS]
    rate = throttling.COSTLY

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "within",
                {"type": "string", "pattern": WITHIN_PATTERN, "default": "7d", "example": "7d"},
                description=f"A span such as `7d` or `4w`, from 1 to {MAX_WITHIN.days} days.",
            ),
            OpenApiParameter(
                "cursor", str, description="Where the page starts. Taken from the `next` or `previous` link."
            ),
            OpenApiParameter(
                "page_size",
                {"type": "integer", "minimum": 1, "default": 50},
                description=f"Changes per page, at most {MAX_PAGE_SIZE}. A stream contains all changes.",
            ),
        ],
        responses=streaming.streaming_responses(
            UpcomingPageSerializer,
            EXAMPLE,
            {
                400: OpenApiResponse(ErrorSerializer, "`invalid`: the span, cursor or page size is invalid."),
                503: OpenApiResponse(ErrorSerializer, "`took_too_long`: the evaluation was stopped."),
                **ACCESS_ERROR_RESPONSES,
                **SEGMENT_NOT_FOUND,
            },
        ),
        tags=["members"],
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """List who will enter and leave if nothing more is recorded. Needs the scope `members:read`.

        The list has the first change of each customer within the span, in order of time. Records that arrive change the
        list: a customer who orders stays. Fixed lists have no upcoming changes.
        """
        segment, within = get_segment(slug), _parse_within(request)
        place, size = parse_place(request), parse_page_size(request)
        changes = _find_changes(segment, within)
        if streaming.is_streamed(request):
            rows = [tuple(_as_object(one).values()) for one in changes]
            return streaming.stream_rows(request, f"{slug}-upcoming", COLUMNS, [rows])
        index = place.index_in(changes) if place else 0
        first, last = (
            (index, index + size) if place is None or place.forward else (max(index - size, 0), index)
        )
        shown = changes[first:last]
        is_behind = last < len(changes)
        data = {
            "next": link(request, Place.beside(changes[last - 1], forward=True)) if is_behind else None,
            "previous": link(request, Place.beside(changes[first], forward=False))
            if first and shown
            else None,
            "results": [_as_object(one) for one in shown],
        }
        return Response(data)


def _find_changes(segment: Segment, within: timedelta) -> list[UpcomingChange]:
    if not segment.is_dynamic:
        return []
    try:
        rule = parse(segment.rule)
        with time_limits.time_limit(MAX_SECONDS):
            return find_upcoming(rule, counting.stored_context(), within)
    except RuleError:
        return []  # the segment's `last_error` says so
    except time_limits.StatementTimeout:
        raise UpcomingTookTooLong from None


def _as_object(change: UpcomingChange) -> dict[str, str]:
    at = change.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"customer_id": change.customer_id, "change": change.change, "at": at}


def _parse_within(request: Request) -> timedelta:
    try:
        within = parse_duration(request.query_params.get("within", "7d"))
    except (ValueError, OverflowError):
        within = timedelta()
    if not MIN_WITHIN <= within <= MAX_WITHIN:
        raise ValidationError(
            {"within": f"Enter a span such as 7d, from {MIN_WITHIN.days} to {MAX_WITHIN.days} days."}
        )
    return within
