"""The messages for a visitor, for the shop's pages."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns import on_site_inbox
from campaigns.models import Delivery
from core.api import throttling
from core.api.authentication import KeyAuthentication, QueryKeyAuthentication, require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from core.api.keys import VISITORS_SCOPE
from core.models import ApiKey
from customers.privacy.masks import VIEW_CONTACT_DATA

# About one person and valid for a moment.
HEADERS = {"Cache-Control": "private, no-store"}


class VisitorMessageSerializer(serializers.Serializer[Any]):
    """A message. Show the texts as plain text, not as HTML."""

    token = serializers.UUIDField(help_text="The token to dismiss it with.")
    title = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)
    url = serializers.CharField(allow_blank=True, help_text="The link of the message. Clicks are counted.")


class VisitorMessagesSerializer(serializers.Serializer[Any]):
    """The messages for a visitor, the latest first."""

    messages = VisitorMessageSerializer(many=True)


EXAMPLE = OpenApiExample(
    "One",
    {
        "messages": [
            {
                "token": "7c2a6d0e-3f57-4a0b-9a36-6d1d7d2f6f5e",
                "title": "Ten percent for your first order",
                "text": "Leave us your address, and we send you the code.",
                "url": "https://segments.shop.example/go/…",
            }
        ]
    },
)


class _VisitorView(APIView):
    """The authentication of the shop's pages."""

    authentication_classes: Any = [KeyAuthentication, QueryKeyAuthentication]
    # Staff need the permissions to see messages and contact data.
    permission_classes = [
        require_scope(VISITORS_SCOPE, "campaigns.view_delivery", "customers.view_customer", VIEW_CONTACT_DATA)
    ]
    rate = throttling.VISITORS


class VisitorMessagesView(_VisitorView):
    """The messages for a visitor, also readable by staff."""

    authentication_classes = [*_VisitorView.authentication_classes, SessionAuthentication]

    @extend_schema(
        responses={
            200: OpenApiResponse(VisitorMessagesSerializer, examples=[EXAMPLE]),
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["visitors"],
    )
    def get(self, request: Request, anonymous_id: str) -> Response:
        """List the messages to show to a visitor now. Needs the scope `visitors:read`.

        Returns the latest three, and none for an unknown visitor. A message is returned until it is dismissed, a month
        has passed, or it is no longer relevant because the visitor has ordered or left the segment. Messages count as
        shown, except when staff read them. The key may be public: send it in the header or in the URL.
        """
        is_visitor = isinstance(request.auth, ApiKey)
        messages = on_site_inbox.messages_for(anonymous_id, datetime.now(UTC), is_visitor=is_visitor)
        return Response({"messages": [_as_dict(message) for message in messages]}, headers=HEADERS)


class DismissMessageView(_VisitorView):
    """Dismissing a message. Staff cannot."""

    @extend_schema(
        request=None,
        responses={
            204: OpenApiResponse(description="The message is not shown again."),
            404: OpenApiResponse(ErrorSerializer, "The token is invalid."),
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["visitors"],
    )
    def post(self, request: Request, anonymous_id: str, token: UUID) -> Response:
        """Dismiss a message. A message of another visitor is not changed. Needs the scope `visitors:read`."""
        on_site_inbox.dismiss(anonymous_id, token, datetime.now(UTC))
        return Response(status=status.HTTP_204_NO_CONTENT, headers=HEADERS)


def _as_dict(delivery: Delivery) -> dict[str, Any]:
    content = delivery.content or {}
    return {"token": delivery.token} | {name: content.get(name, "") for name in ("title", "text", "url")}
