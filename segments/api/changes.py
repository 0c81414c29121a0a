"""The change log of a segment: who entered and left, in an order that clients can follow."""

from collections.abc import Iterator, Sequence
from datetime import datetime
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
from rest_framework.utils.urls import replace_query_param

from core.api import streaming
from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from core.api.pagination import parse_page_size
from segments.changes import change_log
from segments.models import Change, Membership, Segment

from .leaving import leaving_times, moves_by_time
from .segments import SEGMENT_NOT_FOUND, get_segment

MAX_PAGE_SIZE = 1_000
LATEST = "latest"
COLUMNS = ("id", "customer_id", "change", "at", "cause")
STREAM_EXAMPLE = {
    "id": 51,
    "customer_id": "1042",
    "change": "entered",
    "at": "2026-03-31T06:00:00Z",
    "cause": "activity",
}
EXAMPLE = STREAM_EXAMPLE | {"changes_at": "2026-04-30T05:12:44Z"}

_instant = serializers.DateTimeField()


class ChangesGone(APIException):
    """The requested changes are no longer kept."""

    status_code = status.HTTP_410_GONE
    default_code = "gone"
    default_detail = (
        "Changes after this id are no longer kept. Start again: read the position with `?after=latest`, then all"
        " members, then follow the changes from that position."
    )


class ChangeSerializer(serializers.ModelSerializer[Change]):
    """One customer entered or left."""

    id = serializers.IntegerField(read_only=True, help_text="Ids grow from change to change. There are gaps.")
    customer_id = serializers.CharField(
        source="public_id",
        read_only=True,
        allow_null=True,
        help_text="The customer's id at that time. Null for an erased customer, except for the last exit, which"
        " keeps the id for 30 days.",
    )

    changes_at = serializers.SerializerMethodField(
        help_text="When the customer leaves if nothing more is recorded, as of now. Null for a customer who left or"
        " entered again since, and if it is not within 400 days. Not in streams."
    )

    class Meta:
        model = Change
        fields = (*COLUMNS, "changes_at")
        read_only_fields = fields

    def get_changes_at(self, change: Change) -> datetime | None:
        """Return when the customer leaves, in the format of other instants."""
        leaves_at = self.context.get("leaving", {}).get(change.pk)
        return _instant.to_representation(leaves_at) if leaves_at else None  # type: ignore[return-value]

    def to_representation(self, change: Change) -> dict[str, Any]:
        """Return null in place of an empty id."""
        data = super().to_representation(change)
        return data | {"customer_id": data["customer_id"] or None}


@extend_schema_serializer(
    examples=[
        OpenApiExample("A page", {"next": None, "previous": None, "position": 51, "results": [EXAMPLE]}),
    ]
)
class ChangesSerializer(serializers.Serializer[Any]):
    """A page of changes, and the position after it."""

    next = serializers.URLField(
        allow_null=True, help_text="The URL of the next page. Null if there are no later changes yet."
    )
    previous = serializers.URLField(allow_null=True, help_text="Always null: the log is read forwards.")
    position = serializers.IntegerField(
        help_text="Store it together with the applied changes, and send it as `after` in the next request."
    )
    results = ChangeSerializer(many=True)


class ChangesView(streaming.StreamingView):
    permission_classes = [
        require_scope("members:read", "segments.view_membership", "customers.view_contact_data")
    ]

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "after",
                {
                    "oneOf": [
                        {"type": "integer", "minimum": 0, "maximum": change_log.MAX_CHANGE_ID},
                        {"enum": [LATEST]},
                    ]
                },
                description="The id of the last change that you have read. Without it, the response starts with the"
                " oldest change that is kept. `latest` returns no changes, only the current position.",
            ),
            OpenApiParameter(
                "page_size",
                {"type": "integer", "minimum": 1, "default": 50},
                description=f"Changes per page, at most {MAX_PAGE_SIZE:,}. A stream contains all changes.",
            ),
        ],
        responses=streaming.streaming_responses(
            ChangesSerializer,
            {name: str(value) for name, value in STREAM_EXAMPLE.items()},
            {
                400: OpenApiResponse(ErrorSerializer, "`invalid`: `after` or the page size is invalid."),
                410: OpenApiResponse(
                    ErrorSerializer, "`gone`: changes after `after` are no longer kept. Start again."
                ),
                **ACCESS_ERROR_RESPONSES,
                **SEGMENT_NOT_FOUND,
            },
        ),
        tags=["members"],
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """List who entered and left a segment, in the order of the changes. Needs the scope `members:read`.

        When two profiles are merged, the id that is no longer used leaves and the remaining id enters, with the cause
        `merge`. If a stream breaks off, continue after the last id that you received.
        """
        segment, size = get_segment(slug), parse_page_size(request, MAX_PAGE_SIZE)
        after = (
            change_log.end_of_log(segment)
            if request.query_params.get("after") == LATEST
            else _parse_after(request)
        )
        try:
            if streaming.is_streamed(request):
                return streaming.stream_rows(
                    request, f"{slug}-changes", COLUMNS, _stream_rows(segment, after)
                )
            changes = change_log.read_changes(segment, after, size + 1)
        except change_log.ChangesGone:
            raise ChangesGone from None
        shown = changes[:size]
        position = shown[-1].pk if shown else change_log.log_starts_at(segment) if after is None else after
        more = replace_query_param(request.build_absolute_uri(), "after", position)
        data = {
            "next": more if len(changes) > size else None,
            "previous": None,
            "position": position,
            "results": ChangeSerializer(
                shown, many=True, context={"leaving": leaving_by_change(segment, shown)}
            ).data,
        }
        return Response(data)


def leaving_by_change(segment: Segment, changes: Sequence[Change]) -> dict[int, datetime]:
    """Return when the customers of changes leave by time alone, by the id of the change that they entered by."""
    entries = {change.pk: change.at for change in changes if change.change == Change.Kind.ENTERED}
    if not entries or not moves_by_time(segment):
        return {}
    customers = dict(Change.objects.filter(pk__in=entries).values_list("pk", "customer_id"))
    entered = {(customers[pk], at): pk for pk, at in entries.items() if pk in customers}
    keys = [customer for customer, _ in entered]
    stored = Membership.objects.filter(segment=segment, customer__in=keys)
    inside = dict(stored.values_list("customer_id", "entered_at"))
    times = leaving_times(segment, list(inside))
    return {
        entered[customer, inside[customer]]: at
        for customer, at in times.items()
        if (customer, inside[customer]) in entered
    }


def _parse_after(request: Request) -> int | None:
    given = request.query_params.get("after")
    if given is None:
        return None
    if not (
        given.isascii() and given.isdigit() and len(given) < 20 and int(given) <= change_log.MAX_CHANGE_ID
    ):
        raise ValidationError({"after": f"Enter the id of a change, a whole number, or {LATEST}."})
    return int(given)


def _stream_rows(segment: Segment, after: int | None) -> Iterator[list[tuple[Any, ...]]]:
    for share in change_log.change_batches(segment, after):
        yield [
            (
                change.pk,
                change.public_id or None,
                change.change,
                _instant.to_representation(change.at),
                change.cause,
            )
            for change in share
        ]
