"""The history of a segment: size, entered and left, day by day."""

from datetime import UTC, date, datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from segments import insights
from segments.evaluation.context import shop_zone

from .segments import CAN_READ_SEGMENTS, SEGMENT_NOT_FOUND, get_segment

MAX_DAYS = 3_660


class DaysSerializer(serializers.Serializer[Any]):
    """The first and the last day."""

    to = serializers.DateField(required=False, help_text="The last day. The default is today.")

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add the field ``from``, which is a keyword of Python."""
        first = serializers.DateField(
            required=False, help_text="The first day. The default is the day of the first refresh."
        )
        return {"from": first, **super().get_fields()}

    def validate(self, attrs: dict[str, date]) -> dict[str, date]:
        """Reject a last day before the first one."""
        if "from" in attrs and "to" in attrs and attrs["to"] < attrs["from"]:
            raise ValidationError({"to": "Enter a day that is not before `from`."})
        return attrs


@extend_schema_serializer(
    many=False,
    examples=[OpenApiExample("A day", {"day": "2026-03-31", "size": 1204, "entered": 31, "left": 12})],
)
class SegmentDaySerializer(serializers.Serializer[Any]):
    """One day of a segment."""

    day = serializers.DateField(help_text="In the shop's time zone.")
    size = serializers.IntegerField(help_text="Members at the end of the day, or now for today.")
    entered = serializers.IntegerField()
    left = serializers.IntegerField()


class HistoryView(APIView):
    permission_classes = [CAN_READ_SEGMENTS]

    @extend_schema(
        parameters=[DaysSerializer],
        responses={
            200: SegmentDaySerializer(many=True),
            400: OpenApiResponse(ErrorSerializer, "`invalid`: a day is invalid, or `to` is before `from`."),
            **ACCESS_ERROR_RESPONSES,
            **SEGMENT_NOT_FOUND,
        },
        tags=["segments"],
    )
    def get(self, request: Request, slug: str) -> Response:
        """List size, entered and left for each day. Needs the scope `segments:read`.

        The list contains every day, the oldest first, up to ten years. Before the first refresh it is empty.
        """
        segment, now = get_segment(slug), datetime.now(UTC)
        asked = DaysSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        today = now.astimezone(shop_zone()).date()
        first, last = asked.validated_data.get("from"), asked.validated_data.get("to", today)
        count = min((today - first).days + 1, MAX_DAYS) if first else MAX_DAYS
        days = insights.segment_days(segment, now, count) if count > 0 else []
        return Response(
            [
                {
                    "day": day.day.isoformat(),
                    "size": day.size,
                    "entered": sum(day.entered.values()),
                    "left": sum(day.left.values()),
                }
                for day in days
                if day.day <= last
            ]
        )
