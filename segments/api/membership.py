"""Check the membership of many customers in many segments at once."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.errors import ACCESS_ERROR_RESPONSES
from core.api.serializers import StrictSerializer, TextField, TextListField
from core.db import dialect, execution
from core.db.sql import Sql, compose
from customers.identity import lookup

from .fields import SlugField
from .members import CAN_READ_MEMBERS
from .segments import INVALID_REQUEST, validated_data

MAX_CUSTOMERS, MAX_SEGMENTS = 1_000, 100


class MembershipQuestionSerializer(StrictSerializer):
    """The customers and segments to check."""

    customers = TextListField(
        child=TextField(max_length=300, trim_whitespace=False),
        max_length=MAX_CUSTOMERS,
        help_text="Ids of customers, of any kind.",
    )
    segments = TextListField(
        child=SlugField(),
        max_length=MAX_SEGMENTS,
        help_text="Slugs of segments.",
    )


class MembershipsSerializer(serializers.Serializer[Any]):
    """The requested segments that a customer is in."""

    customer_id = serializers.CharField(help_text="The requested id.")
    segments = serializers.ListField(child=serializers.CharField())


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Two of three are known",
            {
                "results": [
                    {"customer_id": "1042", "segments": ["hero", "repeat"]},
                    {"customer_id": "anonymous:5f0c", "segments": []},
                ],
                "unknown_customers": ["9999"],
                "unknown_segments": [],
            },
            response_only=True,
        )
    ]
)
class MembershipAnswerSerializer(serializers.Serializer[Any]):
    """The memberships of the requested customers."""

    results = MembershipsSerializer(
        many=True, help_text="One entry for each customer that exists, in the requested order."
    )
    unknown_customers = serializers.ListField(
        child=serializers.CharField(), help_text="Ids that no customer has."
    )
    unknown_segments = serializers.ListField(
        child=serializers.CharField(), help_text="Slugs that no segment has."
    )


class MembershipQueryView(APIView):
    """The memberships of many customers."""

    permission_classes = [CAN_READ_MEMBERS]

    @extend_schema(
        request=MembershipQuestionSerializer,
        responses={200: MembershipAnswerSerializer, **INVALID_REQUEST, **ACCESS_ERROR_RESPONSES},
        examples=[
            OpenApiExample(
                "Three customers, two segments",
                {"customers": ["1042", "anonymous:5f0c", "9999"], "segments": ["hero", "repeat"]},
                request_only=True,
            )
        ],
        tags=["members"],
    )
    def post(self, request: Request) -> Response:
        """Check which of up to 1,000 customers are in which of up to 100 segments. Needs the scope `members:read`."""
        given = validated_data(MembershipQuestionSerializer(data=request.data))
        customers, slugs = (list(dict.fromkeys(given[name])) for name in ("customers", "segments"))
        segments = _slugs_by_key(slugs)
        keys = lookup.find_customer_keys(customers)
        found: dict[int, list[str]] = defaultdict(list)
        for customer, segment in _memberships(keys.values(), segments):
            found[customer].append(segments[segment])
        known_slugs = set(segments.values())
        return Response(
            {
                "results": [
                    {"customer_id": one, "segments": sorted(found.get(keys[one], ()))}
                    for one in customers
                    if one in keys
                ],
                "unknown_customers": [one for one in customers if one not in keys],
                "unknown_segments": [slug for slug in slugs if slug not in known_slugs],
            }
        )


def _slugs_by_key(slugs: Iterable[str]) -> dict[int, str]:
    is_asked = dialect.is_one_of("slug", slugs)
    return dict(execution.fetch_all(Sql("SELECT id, slug FROM segments_segment WHERE ") + is_asked))


def _memberships(customers: Iterable[int], segments: Iterable[int]) -> list[execution.Row]:
    """Return pairs of a customer and a segment."""
    return execution.fetch_all(
        compose(
            """SELECT customer_id, segment_id FROM segments_membership
                WHERE {of_customers} AND {of_segments}""",
            of_customers=dialect.is_one_of("customer_id", set(customers)),
            of_segments=dialect.is_one_of("segment_id", segments),
        )
    )
