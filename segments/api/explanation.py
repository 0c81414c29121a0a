"""Explain why one customer is in a segment or not."""

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
    """A node of a rule: a group, or a condition with the customer's value."""

    words = serializers.CharField(
        help_text="The condition or group in English. A condition continues “everyone who”."
    )
    met = serializers.BooleanField()
    value = serializers.CharField(
        allow_null=True,
        help_text="The customer's value, as text. `missing` if there is none, null for a group.",
    )
    changes_at = serializers.DateTimeField(
        allow_null=True,
        help_text="The first later instant at which `met` differs if nothing more is recorded. Null if there is none"
        " within 400 days.",
    )
    lacking = serializers.ListField(
        child=serializers.CharField(), help_text="The conditions that are not met. Empty if the node is met."
    )
    parts = serializers.SerializerMethodField(help_text="The nodes of a group.")

    @extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/Explanation"}})
    def get_parts(self, node: explanation.Explanation) -> Any:
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
                "at": "2026-03-25T09:30:00Z",
                "matches": True,
                "changes_at": "2026-03-31T05:12:44Z",
                "note": "",
                "explanation": {
                    "words": "placed their last order in the last 30 days",
                    "met": True,
                    "value": "2026-03-01 05:12:44+00:00",
                    "changes_at": "2026-03-31T05:12:44Z",
                    "lacking": [],
                    "parts": [],
                },
            },
        )
    ]
)
class MembershipSerializer(serializers.Serializer[Any]):
    """Whether a customer is a member of a segment, and why."""

    customer_id = serializers.CharField(
        help_text="The customer's public id, which may differ from the requested one."
    )
    segment = serializers.CharField(help_text="The slug of the segment.")
    member = serializers.BooleanField(help_text="Whether the customer was a member at the last refresh.")
    entered_at = serializers.DateTimeField(allow_null=True)
    at = serializers.DateTimeField(help_text="When the rule was evaluated: now.")
    matches = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the rule matches now. The next refresh updates `member` accordingly.",
    )
    changes_at = serializers.DateTimeField(
        allow_null=True,
        help_text="The first later instant at which `matches` differs if nothing more is recorded. Null if there is"
        " none within 400 days.",
    )
    explanation = ExplanationSerializer(allow_null=True)
    note = serializers.CharField(
        help_text="Why there is no explanation, for example for a fixed list. Otherwise empty."
    )


class MemberView(APIView):
    """The membership of one customer in one segment."""

    permission_classes = [CAN_READ_MEMBERS]

    @extend_schema(
        responses={200: MembershipSerializer, **ACCESS_ERROR_RESPONSES, **SEGMENT_OR_CUSTOMER_NOT_FOUND},
        tags=["members"],
    )
    def get(self, request: Request, slug: str, customer_id: str) -> Response:
        """Explain whether a customer is a member, condition by condition. Needs the scope `members:read`.

        This also works for customers who are not members. Any id of the customer can be used.
        """
        segment, customer, now = get_segment(slug), get_customer_or_404(customer_id), datetime.now(UTC)
        stored = Membership.objects.filter(segment=segment, customer=customer)
        entered_at = stored.values_list("entered_at", flat=True).first()
        tree, note = _explain(segment, customer, now)
        data = {
            "customer_id": customer.customer_id,
            "segment": segment.slug,
            "member": entered_at is not None,
            "entered_at": entered_at,
            "at": now,
            "matches": tree.met if tree else None,
            "changes_at": tree.changes_at if tree else None,
            "explanation": tree,
            "note": note,
        }
        return Response(MembershipSerializer(data).data)


def _explain(
    segment: Segment, customer: Customer, now: datetime
) -> tuple[explanation.Explanation | None, str]:
    """Return the explanation as of now, or None and the reason."""
    if not segment.is_dynamic:
        return None, explanation.NO_RULE
    try:
        rule = parse(segment.rule)
    except RuleError as error:
        return None, f"The rule is invalid: {error}"
    context = live.context_for_customers([customer.pk], now)
    live.compute_rule_statistics([rule], context)
    tree = explanation.explain(rule, customer, context)
    return tree, "" if tree else explanation.NOT_SEEN_YET
