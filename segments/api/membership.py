"""Check the membership of many customers in many segments at once."""

from collections import defaultdict
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.errors import ACCESS_ERROR_RESPONSES
from core.api.serializers import StrictSerializer, TextField
from customers.identity import lookup
from segments.models import Membership, Segment

from .fields import SlugField
from .members import CAN_READ_MEMBERS
from .segments import INVALID_REQUEST, validated_data

MAX_CUSTOMERS, MAX_SEGMENTS = 1_000, 100


class MembershipQuestionSerializer(StrictSerializer):
    """The customers and segments to check."""

    customers = serializers.ListField(
        child=TextField(max_length=300, trim_whitespace=False),
        max_length=MAX_CUSTOMERS,
        help_text="Ids of customers, of any kind.",
    )
    segments = serializers.ListField(
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
        segments = dict(Segment.objects.filter(slug__in=slugs).values_list("pk", "slug"))
        keys = lookup.find_customer_keys(customers)
        found: dict[int, list[str]] = defaultdict(list)
        members = Membership.objects.filter(segment__in=list(segments), customer__in=list(set(keys.values())))
        for customer, segment in members.order_by().values_list("customer_id", "segment_id"):
            found[customer].append(segments[segment])
        return Response(
            {
                "results": [
                    {"customer_id": one, "segments": sorted(found.get(keys[one], ()))}
                    for one in customers
                    if one in keys
                ],
                "unknown_customers": [one for one in customers if one not in keys],
                "unknown_segments": [slug for slug in slugs if slug not in segments.values()],
            }
        )
