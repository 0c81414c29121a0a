"""Segments and members as API clients see them."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from segments.evaluation import explanation
from segments.models import Membership, Segment
from segments.rules import RuleError, parse
from segments.templates import TEMPLATES

from .fields import SlugField, TextField
from .rules import EXAMPLE_RULE, RuleField, StrictSerializer

_SLUG: dict[str, Any] = {"help_text": "The name by which rules, commands and addresses refer to it."}
MEMBER_EXAMPLE = {
    "customer_id": "1042",
    "entered_at": "2026-03-31T06:00:00Z",
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
    """A segment as it stands."""

    rule = RuleField(read_only=True, allow_null=True, help_text="Null for a fixed list of customers.")
    sentence = serializers.SerializerMethodField(
        help_text="The rule in English; empty where it cannot be read."
    )
    status = serializers.ChoiceField(
        choices=Segment.Status.choices,
        read_only=True,
    )

    class Meta:
        """As the contract lists it."""

        model = Segment
        fields = (
            "slug", "name", "description", "rule", "sentence", "status",
            "is_public", "size", "known_size", "refreshed_at", "last_error", "version",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "size": {"help_text": "How many customers are in."},
            "known_size": {"help_text": "How many of them have an e-mail address or a phone number."},
        }

    def get_sentence(self, segment: Segment) -> str:
        """Say who is in."""
        try:
            return explanation.segment_sentence(segment)
        except RuleError:
            return ""  # `last_error` says what is wrong with it


@extend_schema_field(OpenApiTypes.NUMBER)
class ParameterField(serializers.Field):
    """A number; the template knows its bounds."""

    def to_internal_value(self, data: Any) -> Any:
        """Take it as it is."""
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
    """A segment as it is written: its names and its rule."""

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
    """A segment made of a template; what is not given is the template's."""

    template = serializers.ChoiceField(choices=[(slug, one.name) for slug, one in TEMPLATES.items()])
    parameters = serializers.DictField(
        child=ParameterField(), required=False, help_text="By name, as `GET /templates/` lists them."
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
                "email": "",
                "phone": "",
                "first_name": "",
                "last_name": "",
            },
        ),
    ]
)
class MemberSerializer(serializers.ModelSerializer):
    """One customer in a segment."""

    customer_id = serializers.CharField(
        source="customer.customer_id",
        read_only=True,
        help_text="The shop's id, or `anonymous:` and the browser's id for a visitor without one.",
    )
    email = serializers.CharField(source="customer.email", read_only=True, help_text="Empty where unknown.")
    phone = serializers.CharField(source="customer.phone", read_only=True, help_text="Empty where unknown.")
    first_name = serializers.CharField(source="customer.first_name", read_only=True)
    last_name = serializers.CharField(source="customer.last_name", read_only=True)

    class Meta:
        """Whose and since when."""

        model = Membership
        fields = ("customer_id", "entered_at", "email", "phone", "first_name", "last_name")
        read_only_fields = ("entered_at",)
        extra_kwargs = {"entered_at": {"help_text": "The instant of the refresh that found them in."}}


class SegmentOfCustomerSerializer(serializers.Serializer[Any]):
    """One segment that a customer is in."""

    slug = serializers.CharField()
    name = serializers.CharField()
    entered_at = serializers.DateTimeField(
        allow_null=True,
        help_text="Null for who matches the rule now and has not been found by a refresh yet.",
    )


class SegmentsOfCustomerSerializer(serializers.Serializer[Any]):
    """The segments of one customer."""

    customer_id = serializers.CharField(help_text="As printed, whatever id was asked for.")
    live = serializers.BooleanField(help_text="Whether rules were asked, instead of the stored members.")
    segments = SegmentOfCustomerSerializer(many=True)
