"""Why one customer is in a segment or not."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.errors import ACCESS_ERROR_RESPONSES
from customers.api.views import CUSTOMER_NOT_FOUND, get_customer_or_404
from customers.models import Customer
from segments.evaluation import explanation, live
from segments.models import Membership, Segment
from segments.rules import RuleError, parse

from .members import CAN_READ_MEMBERS
from .segments import SEGMENT_NOT_FOUND, get_segment

SEGMENT_OR_CUSTOMER_NOT_FOUND = {404: {**SEGMENT_NOT_FOUND, **CUSTOMER_NOT_FOUND}[404]}


class ExplanationSerializer(serializers.Serializer[Any]):
    """One node of a rule: a group, or a condition with the customer's value."""

    words = serializers.CharField(help_text="In English; to follow “everyone who” for a condition.")
    met = serializers.BooleanField()
    value = serializers.CharField(
        allow_null=True,
        help_text="The customer's, in words; `missing` where there is none, null for a group.",
    )
    lacking = serializers.ListField(
        child=serializers.CharField(), help_text="What would have to be otherwise; nothing where it is met."
    )
    parts = serializers.SerializerMethodField(help_text="The rules of a group.")

    @extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Explanation"}})
    def get_parts(self, node: explanation.Explanation) -> Any:
        """Explain each."""
        return ExplanationSerializer(node.parts, many=True).data


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One that will leave",
            {
                "customer_id": "1042",
                "segment": "first-time-buyers",
                "member": True,
                "entered_at": "2026-03-01T06:00:00Z",
                "at": "2026-03-31T09:30:00Z",
                "matches": False,
                "note": "",
                "explanation": {
                    "words": "placed their last order in the last 30 days",
                    "met": False,
                    "value": "2026-03-01 05:12:44+00:00",
                    "lacking": ["placed their last order in the last 30 days"],
                    "parts": [],
                },
            },
        )
    ]
)
class MembershipSerializer(serializers.Serializer[Any]):
    """Whether a customer is in a segment, and why."""

    customer_id = serializers.CharField(help_text="As printed, whatever id was asked for.")
    segment = serializers.CharField(help_text="Its slug.")
    member = serializers.BooleanField(help_text="As the last refresh found.")
    entered_at = serializers.DateTimeField(allow_null=True)
    at = serializers.DateTimeField(help_text="The instant of the explanation: now.")
    matches = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the rule matches now; what differs is made right by the next refresh.",
    )
    explanation = ExplanationSerializer(allow_null=True)
    note = serializers.CharField(
        help_text="Why there is no explanation, such as for a fixed list; else empty."
    )


class MemberView(APIView):
    """One customer in one segment, or not."""

    permission_classes = [CAN_READ_MEMBERS]

    @extend_schema(
        responses={200: MembershipSerializer, **ACCESS_ERROR_RESPONSES, **SEGMENT_OR_CUSTOMER_NOT_FOUND},
        tags=["members"],
    )
    def get(self, request: Request, slug: str, customer_id: str) -> Response:
        """Whether a customer is a member, and the rule with each condition's verdict. Needs the scope `members:read`.

        Who is no member is answered, too; any id of the customer will do.
        """
        segment, customer, now = get_segment(slug), get_customer_or_404(customer_id), datetime.now(UTC)
        stored = Membership.objects.filter(segment=segment, customer=customer)
        entered_at = stored.values_list("entered_at", flat=True).first()
        tree, note = _explain(segment, customer, now)
        told = {
            "customer_id": customer.customer_id,
            "segment": segment.slug,
            "member": entered_at is not None,
            "entered_at": entered_at,
            "at": now,
            "matches": tree.met if tree else None,
            "explanation": tree,
            "note": note,
        }
        return Response(MembershipSerializer(told).data)


def _explain(
    segment: Segment, customer: Customer, now: datetime
) -> tuple[explanation.Explanation | None, str]:
    """Explain as of now; where that cannot be, say why."""
    if not segment.is_dynamic:
        return None, explanation.NO_RULE
    try:
        rule = parse(segment.rule)
    except RuleError as error:
        return None, f"The rule cannot be read: {error}"
    context = live.context_for_customers([customer.pk], now)
    live.compute_rule_statistics([rule], context)
    tree = explanation.explain(rule, customer, context)
    return tree, "" if tree else explanation.NOT_SEEN_YET
