"""The customer of a coupon code, for the shop's checkout."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.coupons import coupon_pool
from campaigns.models import Coupon
from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from customers.models import Customer
from customers.privacy.masks import VIEW_CONTACT_DATA

NO_COUPON = {404: OpenApiResponse(ErrorSerializer, "This code does not exist.")}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An assigned code",
            {
                "code": "HELLO-7KQ2M9XW",
                "pool": "First order",
                "description": "10 % off",
                "last_day": "2026-04-30",
                "customer_id": "1042",
                "campaign": "Ten percent for the first order",
                "given_at": "2026-03-31T06:00:00Z",
                "redeemed_at": None,
            },
        )
    ]
)
class CouponSerializer(serializers.Serializer[Any]):
    """One code."""

    code = serializers.CharField(help_text="As imported or generated. Upper and lower case do not matter.")
    pool = serializers.CharField()
    description = serializers.CharField(help_text="What the code gives, as staff describe it.")
    last_day = serializers.DateField(
        allow_null=True, help_text="The last valid day. Null if the code does not expire."
    )
    customer_id = serializers.CharField(
        allow_null=True,
        help_text="The customer. Null for an unassigned code, and after an erasure.",
    )
    campaign = serializers.CharField(allow_null=True, help_text="The name of the campaign that assigned it.")
    given_at = serializers.DateTimeField(allow_null=True, help_text="Null for an unassigned code.")
    redeemed_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When the first order with the code was placed, recorded within ten minutes.",
    )


class CouponView(APIView):
    """One code."""

    permission_classes = [
        require_scope("members:read", "campaigns.view_coupon", "customers.view_customer", VIEW_CONTACT_DATA)
    ]

    @extend_schema(responses={200: CouponSerializer, **ACCESS_ERROR_RESPONSES, **NO_COUPON}, tags=["coupons"])
    def get(self, request: Request, code: str) -> Response:
        """Return a coupon code with its customer, and whether it was used. Needs the scope `members:read`."""
        coupon = coupon_pool.find_coupon(code)
        if coupon is None:
            raise NotFound(f"There is no coupon {code}.")
        return Response(CouponSerializer(_as_dict(coupon)).data)


def _as_dict(coupon: Coupon) -> dict[str, Any]:
    customer: Customer | None = coupon.customer
    if customer and customer.merged_into:
        customer = customer.merged_into
    return {
        "code": coupon.code,
        "pool": coupon.pool.name,
        "description": coupon.pool.description,
        "last_day": coupon.pool.last_day,
        "customer_id": customer.customer_id if customer else None,
        "campaign": coupon.campaign.name if coupon.campaign else None,
        "given_at": coupon.given_at,
        "redeemed_at": coupon.redeemed_at,
    }
