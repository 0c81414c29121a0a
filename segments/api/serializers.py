"""Serializers of segments and members."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from core.api.serializers import StrictSerializer, TextField
from segments.evaluation import explanation
from segments.models import Membership, Segment
from segments.rules import RuleError, parse
from segments.templates import TEMPLATES

from .fields import SlugField
from .rules import EXAMPLE_RULE, RuleField

_SLUG: dict[str, Any] = {"help_text": "The name of the segment in rules, commands and URLs."}
MEMBER_EXAMPLE = {
    "customer_id": "1042",
    "entered_at": "2026-03-31T06:00:00Z",
    "changes_at": "2026-04-30T05:12:44Z",
    "email": "zoë@example.com",
    "phone": "+49301234567",
    "first_name": "Zoë",
    "last_name": "Müller",
}
_DESCRIPTION: dict[str, Any] = {"allow_blank": True, "trim_whitespace": False, "max_length": 10_000}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "By rule",
            {
                "slug": "first-time-buyers",
                "name": "First-time buyers",
                "description": "Exactly one order, in the last 30 days.",
                "rule": EXAMPLE_RULE,
                "sentence": f"Everyone who {parse(EXAMPLE_RULE).sentence()}",
                "status": "fresh",
                "is_public": False,
                "size": 1204,
                "known_size": 1198,
                "refreshed_at": "2026-03-31T06:00:00Z",
                "last_error": "",
                "version": 1,
            },
        )
    ]
)
class SegmentSerializer(serializers.ModelSerializer):
    """A segment."""

    rule = RuleField(
        read_only=True, allow_null=True, help_text="The rule. Null for a fixed list of customers."
    )
    sentence = serializers.SerializerMethodField(
        help_text="The rule in English. Empty if the rule is invalid."
    )
    status = serializers.ChoiceField(
        choices=Segment.Status.choices,
        read_only=True,
    )

    class Meta:
        model = Segment
        fields = (
            "slug", "name", "description", "rule", "sentence", "status",
            "is_public", "size", "known_size", "refreshed_at", "last_error", "version",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "size": {"help_text": "The number of members."},
            "known_size": {"help_text": "The number of members with an e-mail address or a phone number."},
        }

    def get_sentence(self, segment: Segment) -> str:
        try:
            return explanation.segment_sentence(segment)
        except RuleError:
            return ""  # ``last_error`` contains the error


@extend_schema_field(OpenApiTypes.NUMBER)
class ParameterField(serializers.Field):
    """A number. The template checks its bounds."""

    def to_internal_value(self, data: Any) -> Any:
        return data


class _Written(StrictSerializer):
    cannot_be_set = SegmentSerializer.Meta.fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "By a rule",
            {"slug": "first-time-buyers", "name": "First-time buyers", "rule": EXAMPLE_RULE},
            request_only=True,
        )
    ]
)
class SegmentByRuleSerializer(_Written):
    """The fields of a new or edited segment."""

    slug = SlugField(**_SLUG)
    name = TextField(max_length=200)
    description = TextField(required=False, **_DESCRIPTION)
    rule = RuleField()


@extend_schema_serializer(
    examples=[
        OpenApiExample("From a template", {"template": "lost", "parameters": {"days": 60}}, request_only=True)
    ]
)
class SegmentByTemplateSerializer(_Written):
    """The fields of a new segment from a template. The template provides what is missing."""

    template = serializers.ChoiceField(choices=[(slug, one.name) for slug, one in TEMPLATES.items()])
    parameters = serializers.DictField(
        child=ParameterField(), required=False, help_text="Parameters by name. `GET /templates/` lists them."
    )
    slug = SlugField(required=False, **_SLUG)
    name = TextField(required=False, max_length=200)
    description = TextField(required=False, **_DESCRIPTION)


@extend_schema_serializer(
    examples=[
        OpenApiExample("A known customer", MEMBER_EXAMPLE),
        OpenApiExample(
            "A visitor",
            {
                "customer_id": "anonymous:5f0c",
                "entered_at": "2026-03-31T06:00:00Z",
                "changes_at": None,
                "email": "",
                "phone": "",
                "first_name": "",
                "last_name": "",
            },
        ),
    ]
)
class MemberSerializer(serializers.ModelSerializer):
    """A member of a segment."""

    customer_id = serializers.CharField(
        source="customer.customer_id",
        read_only=True,
        help_text="The shop's id, or for a visitor without one `anonymous:` and the browser's id.",
    )
    changes_at = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text="When the member leaves if nothing more is recorded. Null if not within 400 days. Not in streams.",
    )
    email = serializers.CharField(source="customer.email", read_only=True, help_text="Empty where unknown.")
    phone = serializers.CharField(source="customer.phone", read_only=True, help_text="Empty where unknown.")
    first_name = serializers.CharField(source="customer.first_name", read_only=True)
    last_name = serializers.CharField(source="customer.last_name", read_only=True)

    class Meta:
        model = Membership
        fields = ("customer_id", "entered_at", "changes_at", "email", "phone", "first_name", "last_name")
        read_only_fields = ("entered_at",)
        extra_kwargs = {
            "entered_at": {"help_text": "The instant of the refresh at which the customer entered."}
        }


class SegmentOfCustomerSerializer(serializers.Serializer[Any]):
    """A segment that a customer is in."""

    slug = serializers.CharField()
    name = serializers.CharField()
    entered_at = serializers.DateTimeField(
        allow_null=True,
        help_text="Null if the customer matches the rule now, but has not entered at a refresh yet.",
    )


class SegmentsOfCustomerSerializer(serializers.Serializer[Any]):
    """The segments of a customer."""

    customer_id = serializers.CharField(
        help_text="The customer's public id, which may differ from the requested one."
    )
    live = serializers.BooleanField(help_text="Whether the rules were evaluated now.")
    segments = SegmentOfCustomerSerializer(many=True)
