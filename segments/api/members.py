"""The members of a segment, as pages or as a stream, and the segments of a customer."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import DateTimeField
from rest_framework.views import APIView

from core.api import streaming, throttling
from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, PAGE_ERROR_RESPONSES, ErrorSerializer
from core.api.pagination import Cursor, KeysetPagination, parse_cursor, parse_page_size
from customers.api.views import CUSTOMER_NOT_FOUND, get_customer_or_404
from segments.changes import member_stream
from segments.evaluation import live
from segments.models import Membership, Segment

from . import leaving
from .segments import SEGMENT_NOT_FOUND
from .serializers import MEMBER_EXAMPLE, MemberSerializer, SegmentsOfCustomerSerializer

CAN_READ_MEMBERS = require_scope("members:read", "segments.view_membership", "customers.view_contact_data")
COLUMNS = ("customer_id", *member_stream.CONTACT_COLUMNS)
ORDER = "changes_at"
STREAMED = ("customer_id", "entered_at", *member_stream.CONTACT_COLUMNS)

_SHOWN_OF_CUSTOMER = tuple(f"customer__{name}" for name in COLUMNS)
_instant = DateTimeField()


class MemberPagination(KeysetPagination):
    key = "customer_id"

    def key_of(self, row: Any) -> int:
        key: int = row[0]
        return key


class MemberListView(streaming.StreamingView, GenericAPIView):
    permission_classes = [CAN_READ_MEMBERS]
    pagination_class = MemberPagination

    @property
    def rate(self) -> str:
        """Return the group of rate limits: an order by instants evaluates the rule for all members."""
        return throttling.COSTLY if "order" in self.request.query_params else throttling.READING

    serializer_class = MemberSerializer
    queryset = Membership.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "order",
                {"type": "string", "enum": [ORDER]},
                description="With `changes_at`, those who leave by time alone within 90 days come first, in order of"
                " time. Streams keep their order.",
            )
        ],
        responses=streaming.streaming_responses(
            MemberSerializer(many=True),
            {name: MEMBER_EXAMPLE[name] for name in STREAMED} | {"cursor": str(Cursor(True, 1042))},
            {**PAGE_ERROR_RESPONSES, **ACCESS_ERROR_RESPONSES, **SEGMENT_NOT_FOUND},
        ),
        tags=["members"],
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """List the members as of the last refresh, with contact data. Needs the scope `members:read`.

        Members may change while you read pages. A customer who is a member all the time is listed exactly once. CSV and
        NDJSON stream all members, each with a `cursor`. If a stream breaks off, continue with the last complete one.
        """
        segment, order = leaving.get_segment_with_rule(slug), _parse_order(request)
        parse_page_size(request)  # so that streams reject an invalid page size, too
        if streaming.is_streamed(request):
            columns = (*STREAMED, "cursor")
            return streaming.stream_rows(
                request, f"{slug}-members", columns, _stream_rows(segment.pk, _parse_cursor(request))
            )
        rows = Membership.objects.filter(segment=segment).values_list(
            "customer_id", "entered_at", *_SHOWN_OF_CUSTOMER
        )
        if order:
            return leaving.page_by_leaving(request, segment, rows, _member_objects)
        page = self.paginate_queryset(rows) or []
        times = leaving.leaving_times(segment, [row[0] for row in page])
        return self.get_paginated_response(_member_objects(page, times))


class SegmentsOfCustomerView(APIView):
    # Also needed to learn whether a customer exists: the id may be an e-mail address.
    permission_classes = [CAN_READ_MEMBERS]

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "live",
                bool,
                description="Evaluate the rules of all active segments now, instead of returning the result of the last"
                " refresh. Fixed lists are not affected.",
            )
        ],
        responses={
            200: SegmentsOfCustomerSerializer,
            400: OpenApiResponse(ErrorSerializer, "`invalid`: `live` is neither `true` nor `false`."),
            **ACCESS_ERROR_RESPONSES,
            **CUSTOMER_NOT_FOUND,
        },
        tags=["customers"],
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """List the segments of a customer, as of the last refresh or live. Needs the scope `members:read`."""
        is_live = _parse_live(request)
        customer = get_customer_or_404(customer_id)
        stored = Membership.objects.filter(customer=customer)
        entered = dict(stored.values_list("segment_id", "entered_at"))
        is_in = Q(pk__in=entered)
        if is_live:
            is_in = Q(slug__in=live.matching_segments(customer.pk)) | (is_in & Q(kind=Segment.Kind.STATIC))
        names = Segment.objects.filter(is_in).order_by("slug").values_list("pk", "slug", "name")
        segments = [{"slug": slug, "name": name, "entered_at": entered.get(key)} for key, slug, name in names]
        data = {"customer_id": customer.customer_id, "live": is_live, "segments": segments}
        return Response(SegmentsOfCustomerSerializer(data).data)


def _member_objects(rows: Iterable[tuple[Any, ...]], times: Mapping[int, datetime]) -> list[dict[str, Any]]:
    """Return what ``MemberSerializer`` describes, which takes several times as long for a page."""
    # Most members of a page entered at a few refreshes.
    written: dict[datetime, str | None] = {}
    members = []
    for key, entered_at, customer_id, email, phone, first_name, last_name in rows:
        entered = written.get(entered_at)
        if entered is None:
            entered = written[entered_at] = _instant.to_representation(entered_at)
        members.append(
            {
                "customer_id": customer_id,
                "entered_at": entered,
                "changes_at": _instant.to_representation(times[key]) if key in times else None,
                "email": email,
                "phone": phone,
                "first_name": first_name,
                "last_name": last_name,
            }
        )
    return members


def _parse_cursor(request: Request) -> int:
    cursor = parse_cursor(request)
    if cursor and not cursor.forward:
        raise ValidationError({"cursor": "This cursor goes backwards. A stream goes only forwards."})
    return cursor.key if cursor else 0


def _stream_rows(segment: int, after: int) -> Iterator[list[tuple[Any, ...]]]:
    for share in member_stream.member_batches(segment, COLUMNS, after):
        yield [
            (printed, _instant.to_representation(entered_at), *contact, str(Cursor(True, key)))
            for key, entered_at, printed, *contact in share
        ]


def _parse_order(request: Request) -> str:
    given = request.query_params.get("order", "")
    if given not in ("", ORDER):
        raise ValidationError({"order": f"Enter {ORDER}, or leave it out."})
    return given


def _parse_live(request: Request) -> bool:
    given = request.query_params.get("live", "false").lower()
    if given not in ("true", "1", "false", "0"):
        raise ValidationError({"live": "Enter true or false."})
    return given in ("true", "1")
