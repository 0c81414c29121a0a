"""The history of a segment: size, entered and left, day by day, from the change log or computed from records."""

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api import throttling
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from core.db import time_limits
from segments import insights
from segments.evaluation.context import shop_zone
from segments.history import runs, segment_history
from segments.history.engine import DAY, DayCount
from segments.models import Segment
from segments.rules import RuleError, parse

from .preview import one_at_a_time
from .rules import check_changes_disclosure
from .segments import CAN_READ_SEGMENTS, SEGMENT_NOT_FOUND, get_segment

MAX_DAYS = 3_660
DEFAULT_DAYS = 365
RETRY_SECONDS = 10
EARLIER = f"Enter a day of {segment_history.EARLIEST.year} or later."
COMPUTING_SECONDS = 5.0
"""How long a request computes a history itself. After that, a worker computes it."""


class ComputingSerializer(serializers.Serializer[Any]):
    """A history that a worker computes."""

    code = serializers.CharField(help_text="`computing`.")
    message = serializers.CharField()
    percent = serializers.IntegerField(help_text="How much is computed.")


class DaysSerializer(serializers.Serializer[Any]):
    """The first and the last day."""

    to = serializers.DateField(
        required=False, help_text="The last day. The default is today; with `computed`, it is yesterday."
    )
    computed = serializers.BooleanField(
        default=False,
        help_text="Compute every day by the present rule from today's records, also from before the segment existed.",
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add the field ``from``, which is a keyword of Python."""
        first = serializers.DateField(
            required=False,
            help_text=(
                "The first day. The default is the day of the first refresh; with `computed`, 365 days up to `to`."
            ),
        )
        return {"from": first, **super().get_fields()}

    def validate(self, attrs: dict[str, date]) -> dict[str, date]:
        """Reject a last day before the first one."""
        if "from" in attrs and "to" in attrs and attrs["to"] < attrs["from"]:
            raise ValidationError({"to": "Enter a day that is not before `from`."})
        return attrs


@extend_schema_serializer(
    many=False,
    examples=[
        OpenApiExample(
            "A day", {"day": "2026-03-31", "size": 1204, "entered": 31, "left": 12, "computed": False}
        )
    ],
)
class SegmentDaySerializer(serializers.Serializer[Any]):
    """One day of a segment."""

    day = serializers.DateField(help_text="In the shop's time zone.")
    size = serializers.IntegerField(help_text="Members at the end of the day, or now for today.")
    entered = serializers.IntegerField()
    left = serializers.IntegerField()
    computed = serializers.BooleanField(
        help_text="Whether the day was computed from today's records. Otherwise it is that of the change log."
    )


class HistoryView(APIView):
    permission_classes = [CAN_READ_SEGMENTS]

    @property
    def rate(self) -> str:
        """Return the group of rate limits."""
        is_computed = "computed" in self.request.query_params
        return throttling.COSTLY if is_computed else throttling.READING

    @extend_schema(
        parameters=[DaysSerializer],
        responses={
            200: SegmentDaySerializer(many=True),
            202: OpenApiResponse(
                ComputingSerializer, "A worker computes the history. Request it again; see `Retry-After`."
            ),
            400: OpenApiResponse(
                ErrorSerializer,
                "`invalid`: a day is invalid, `to` is before `from`, or more than three years are to be computed.",
            ),
            **ACCESS_ERROR_RESPONSES,
            **SEGMENT_NOT_FOUND,
            429: OpenApiResponse(
                ErrorSerializer,
                "`throttled`: another history of this key is being computed; see `Retry-After`.",
            ),
        },
        tags=["segments"],
    )
    def get(self, request: Request, slug: str) -> Response:
        """List size, entered and left for each day. Needs the scope `segments:read`.

        The list contains every day, the oldest first, up to ten years. Before the first refresh it is empty.

        With `computed=true`, each day is that of the present rule and of today's records, as at the end of the day in
        the shop's time zone, for up to three years. The history of a rule that tells contact data by time, such as
        birthdays, also needs the scope `members:read`. `entered` and `left` compare the ends of two days. Contact data,
        consent, attributes and fixed lists count on every day as they are today.
        """
        segment, now = get_segment(slug), datetime.now(UTC)
        asked = DaysSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        today = now.astimezone(shop_zone()).date()
        first, last = asked.validated_data.get("from"), asked.validated_data.get("to", today)
        if asked.validated_data["computed"]:
            last = min(last, today - DAY)
            if last < segment_history.EARLIEST:
                raise ValidationError({"to": EARLIER})
            if segment.is_dynamic:
                with suppress(RuleError):  # told below
                    check_changes_disclosure(parse(segment.rule), request)
            first = first or max(last - (DEFAULT_DAYS - 1) * DAY, segment_history.EARLIEST)
            return _computed_days(request, segment, first, last)
        count = min((today - first).days + 1, MAX_DAYS) if first else MAX_DAYS
        days = insights.segment_days(segment, now, count) if count > 0 else []
        return Response(
            [
                {
                    "day": day.day.isoformat(),
                    "size": day.size,
                    "entered": sum(day.entered.values()),
                    "left": sum(day.left.values()),
                    "computed": False,
                }
                for day in days
                if day.day <= last
            ]
        )


def _computed_days(request: Request, segment: Segment, first: date, last: date) -> Response:
    """Return the stored days, or compute them. If that takes long, a worker does it."""
    if last < first:
        return Response([])
    if first < segment_history.EARLIEST:
        raise ValidationError({"from": EARLIER})
    if (last - first).days >= segment_history.MAX_DAYS:
        raise ValidationError({"from": "At most three years are computed. Enter a later day."})
    if (stored := runs.stored_days(segment, first, last)) is not None:
        return Response([_computed_row(day, count) for day, count in stored])
    try:
        with one_at_a_time(request, "history"):
            computed = segment_history.compute_days_within([segment], first, last, COMPUTING_SECONDS)
    except time_limits.StatementTimeout:
        run = runs.request_history(segment, first, last, datetime.now(UTC), extend=True)
        message = f"This history is being computed: {run.percent} % is done. Request it again in a while."
        return Response(
            {"code": "computing", "message": message, "percent": run.percent},
            status=202,
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    except RuleError as error:
        raise ValidationError({"segment": str(error)}) from None
    return Response([_computed_row(day, count) for day, [count] in computed])


def _computed_row(day: date, count: DayCount) -> dict[str, Any]:
    return {"day": day.isoformat(), **asdict(count), "computed": True}
