"""Count the customers that a rule matches, without saving it. One preview of a client runs at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import redis
from core.api import throttling
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from core.api.serializers import StrictSerializer
from core.db import time_limits
from core.models import ApiKey
from core.values.regexes import RECENT_DATETIME
from customers.models import Customer
from segments import references
from segments.evaluation import counting
from segments.rules import Rule, parse

from .rules import EXAMPLE_RULE, RuleField, check_disclosure, rule_errors_by_path
from .segments import CAN_READ_SEGMENTS, INVALID_REQUEST, validated_data

MAX_SECONDS = 10.0
"""The time limit of a preview."""
HOLD_SECONDS = 60
"""After this time, the preview of a process that died counts as ended. No preview takes nearly as long."""
SAMPLE_FIELDS = ("customer_id", "email", "phone", "first_name", "last_name")
# One more day on both sides, for the first and the last day in any time zone.
FIRST, LAST = datetime(1969, 12, 31, tzinfo=UTC), datetime(2200, 1, 2, tzinfo=UTC)


class PreviewTookTooLong(APIException):
    """The count was stopped."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "took_too_long"
    default_detail = (
        f"Counting took longer than {MAX_SECONDS:.0f} seconds and was stopped. Use a simpler rule, leave out `at`, or"
        " create the segment: its refresh has no time limit. `manage.py evaluate` has none either."
    )


@extend_schema_field({"type": "string", "pattern": f"^{RECENT_DATETIME}$", "example": "2026-03-31T06:00:00Z"})
class InstantField(serializers.DateTimeField):
    """An instant for which a rule can be evaluated."""

    def to_internal_value(self, value: Any) -> datetime:
        """Reject instants that would overflow when a span is added or subtracted."""
        instant: datetime = super().to_internal_value(value)
        if not FIRST <= instant < LAST:
            raise serializers.ValidationError("Enter an instant of the years 1970 to 2199.")
        return instant


@extend_schema_serializer(examples=[OpenApiExample("As of now", {"rule": EXAMPLE_RULE})])
class PreviewRequestSerializer(StrictSerializer):
    """A rule, and the instant for which it is evaluated."""

    rule = RuleField()
    at = InstantField(
        required=False,
        allow_null=True,
        help_text="The default is now. For another instant, all records are evaluated, which takes longer.",
    )


class ConditionCountSerializer(serializers.Serializer[Any]):
    """How many customers match one condition alone."""

    path = serializers.CharField(help_text="The place of the condition, such as `rule.all[0].order_count`.")
    count = serializers.IntegerField()


class SampleSerializer(serializers.ModelSerializer[Customer]):
    """A customer who matches the rule."""

    class Meta:
        """As members are shown."""

        model = Customer
        fields = SAMPLE_FIELDS
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Counted",
            {
                "at": "2026-03-31T06:00:00Z",
                "count": 1204,
                "share": 0.0482,
                "known": 1198,
                "subscribed": 377,
                "sentence": "Everyone who placed exactly 1 order and placed their last order in the last 30 days",
                "conditions": [
                    {"path": "rule.all[0].order_count", "count": 8141},
                    {"path": "rule.all[1].last_order", "count": 2930},
                ],
                "sample": None,
            },
        )
    ]
)
class PreviewSerializer(serializers.Serializer[Any]):
    """How many customers match a rule."""

    at = serializers.DateTimeField(help_text="The instant for which the rule was evaluated.")
    count = serializers.IntegerField(help_text="Customers who match the rule.")
    share = serializers.FloatField(help_text="The share of all customers, from 0 to 1.")
    known = serializers.IntegerField(help_text="How many of them have an e-mail address or a phone number.")
    subscribed = serializers.IntegerField(help_text="How many of them subscribe to the newsletter.")
    sentence = serializers.CharField(help_text="The rule in English.")
    conditions = ConditionCountSerializer(
        many=True, help_text="How many customers match each condition alone."
    )
    sample = SampleSerializer(
        many=True,
        allow_null=True,
        help_text=f"Up to {counting.SAMPLE_SIZE} customers who match. Null without the scope `members:read`.",
    )


class PreviewView(APIView):
    """The preview of a rule."""

    permission_classes = [CAN_READ_SEGMENTS]
    rate = throttling.COSTLY

    @extend_schema(
        request=PreviewRequestSerializer,
        responses={
            200: PreviewSerializer,
            **INVALID_REQUEST,
            **ACCESS_ERROR_RESPONSES,
            429: OpenApiResponse(
                ErrorSerializer, "`throttled`: another preview of this key is running; see `Retry-After`."
            ),
            503: OpenApiResponse(ErrorSerializer, f"`took_too_long`: over {MAX_SECONDS:.0f} seconds."),
        },
        tags=["segments"],
    )
    def post(self, request: Request) -> Response:
        """Count the customers that a rule matches, without saving it. Needs the scope `segments:read`.

        Only one preview of a key runs at a time. A rule with contact data (`attribute`, `birthday`, `city`,
        `event_count` with `where`) also needs the scope `members:read`, because its count could reveal contact data.
        """
        given = validated_data(PreviewRequestSerializer(data=request.data))
        with rule_errors_by_path():
            rule = parse(given["rule"])
            references.check_references_of(rule)
        check_disclosure(rule, request, asks_rules="at" in given)
        with one_at_a_time(request, "preview"):
            try:
                counted, detailed = counting.preview_rule(rule, MAX_SECONDS, given.get("at"))
            except time_limits.StatementTimeout:
                raise PreviewTookTooLong from None
        return Response(PreviewSerializer(_preview_data(rule, counted, detailed, request)).data)


def _preview_data(
    rule: Rule, counted: counting.RuleCount, detailed: counting.CountDetails, request: Request
) -> dict[str, Any]:
    sample = Customer.objects.filter(pk__in=detailed.sample).order_by("pk").only(*SAMPLE_FIELDS)
    return {
        "at": counted.at,
        "count": counted.matching,
        "share": round(counted.matching / max(counted.everybody, 1), 4),
        "known": counted.known,
        "subscribed": counted.subscribed,
        "sentence": f"Everyone who {rule.sentence()}",
        "conditions": [{"path": path, "count": count} for path, count in detailed.conditions.items()],
        "sample": sample if _may_see_sample(request) else None,
    }


def _may_see_sample(request: Request) -> bool:
    if isinstance(request.auth, ApiKey):
        return "members:read" in request.auth.scopes
    return request.user.has_perms(("customers.view_customer", "customers.view_contact_data"))


@contextmanager
def one_at_a_time(request: Request, what: str) -> Iterator[None]:
    """Reject a client whose preview, or other work of this name, is running. Without Redis, nobody is rejected."""
    client = f"key-{request.auth.pk}" if isinstance(request.auth, ApiKey) else f"user-{request.user.pk}"
    with redis.hold(f"segments:{what}:{client}", HOLD_SECONDS) as is_free:
        if not is_free:
            raise Throttled(MAX_SECONDS, f"Another {what} of yours is running. Try again when it has ended.")
        yield
