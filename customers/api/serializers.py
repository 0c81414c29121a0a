"""Serializers of customers, and of the results of requests that send records."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from core.api.errors import ErrorSerializer, InvalidValueSerializer
from customers.facts import relations
from customers.models import Customer
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDERS, Kind

from . import ingest, schema

_EXAMPLES: dict[str, dict[str, Any]] = {
    CUSTOMERS.name: {
        "customer_id": "1042",
        "email": "zoe@example.com",
        "newsletter": "subscribed",
        "attributes": {"tier": "gold"},
    },
    ORDERS.name: {
        "order_id": "9001",
        "customer_id": "1042",
        "placed_at": "2026-03-31T18:30:00+02:00",
        "status": "paid",
        "total": 49.9,
        "lines": [{"sku": "lamp-1", "name": "A lamp", "quantity": 2, "unit_price": 24.95}],
    },
    EVENTS.name: {
        "message_id": "b7e3",
        "customer_id": "1042",
        "event": "Product Viewed",
        "occurred_at": "2026-03-31T18:20:00+02:00",
        "properties": {"sku": "lamp-1", "price": 24.95},
    },
}


def request_body(kind: Kind) -> dict[str, Any]:
    return schema.request_schema(kind, _EXAMPLES[kind.name])


class ObjectResultSerializer(serializers.Serializer[Any]):
    """The result of one object."""

    index = serializers.IntegerField(help_text="Its place in the list, from 0.")
    status = serializers.ChoiceField(
        choices=[ingest.ACCEPTED, ingest.REFUSED, ingest.SKIPPED],
        help_text="`left_out`: the object is from before the customer's erasure, and was ignored.",
    )
    kept = serializers.ChoiceField(
        choices=["unsubscribed"],
        required=False,
        help_text="The object says `subscribed`, but the customer unsubscribed later and stays unsubscribed.",
    )
    error = ErrorSerializer(required=False, help_text="Why it was refused.")
    warnings = InvalidValueSerializer(
        many=True, required=False, help_text="Invalid values, which were left out."
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One valid, one refused",
            {
                "created": 1, "updated": 0, "refused": 1, "left_out": 0,
                "results": [
                    {"index": 0, "status": "accepted"},
                    {
                        "index": 1, "status": "refused",
                        "error": {
                            "code": "invalid",
                            "message": "customer_id: missing",
                            "errors": [{"path": "customer_id", "message": "missing"}],
                        },
                    },
                ],
            },
        )
    ]
)  # fmt: skip
class IngestResultSerializer(serializers.Serializer[Any]):
    """The results of all objects. Valid objects are kept even if others are refused."""

    created = serializers.IntegerField(help_text="The number of new records.")
    updated = serializers.IntegerField(help_text="The number of records that existed already.")
    refused = serializers.IntegerField()
    left_out = serializers.IntegerField()
    results = ObjectResultSerializer(many=True)


class ErasureSerializer(serializers.Serializer[Any]):
    """The result of an erasure if other customers have the same address."""

    sharing_addresses = serializers.ListField(
        child=serializers.CharField(),
        help_text="Customers with the same e-mail address or phone number, who were not erased.",
    )


class CustomerSerializer(serializers.ModelSerializer[Customer]):
    """A customer with facts."""

    known = serializers.BooleanField(
        source="is_known", read_only=True, help_text="Has an e-mail address or a phone number."
    )
    facts = serializers.SerializerMethodField(
        help_text="Facts by name. Amounts, shares and days are decimals as text. Null until the first refresh."
    )

    class Meta:
        """Contact data, consent, attributes."""

        model = Customer
        fields = (
            "customer_id", "known", "email", "phone", "first_name", "last_name", "country", "city", "language",
            "source", "birth_date", "newsletter", "subscribed_at", "attributes", "facts",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "object", "additionalProperties": {}, "nullable": True})
    def get_facts(self, customer: Customer) -> dict[str, Any] | None:
        row = self.context.get("facts_of", lambda one: getattr(one, "facts", None))(customer)
        if row is None:
            return None
        # Decimals are sent as text, because binary floats of clients would round them.
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in relations.facts_as_dict(row).items()
        }
