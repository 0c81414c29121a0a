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

# It is about one person, and true for a moment.
HEADERS = {"Cache-Control": "private, no-store"}


class MessageForVisitorSerializer(serializers.Serializer[Any]):
    """One message: texts, to be shown as they are, not as HTML."""

    token = serializers.UUIDField(help_text="Names it, to close it.")
    title = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)
    url = serializers.CharField(allow_blank=True, help_text="Where it leads; clicks are counted.")


class MessagesForVisitorSerializer(serializers.Serializer[Any]):
    """The messages for a visitor, the latest first."""

    messages = MessageForVisitorSerializer(many=True)


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
    """Whom the shop's pages are answered as."""

    authentication_classes: Any = [KeyAuthentication, QueryKeyAuthentication]
    # Of the staff those who may see what a message says of its customer.
    permission_classes = [
        require_scope(VISITORS_SCOPE, "campaigns.view_delivery", "customers.view_customer", VIEW_CONTACT_DATA)
    ]
    rate = throttling.VISITORS


class MessagesForVisitor(_VisitorView):
    """The messages for a visitor; staff may look at them, too."""

    authentication_classes = [*_VisitorView.authentication_classes, SessionAuthentication]

    @extend_schema(
        responses={
            200: OpenApiResponse(MessagesForVisitorSerializer, examples=[EXAMPLE]),
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["visitors"],
    )
    def get(self, request: Request, anonymous_id: str) -> Response:
        """What to show a visitor now; to an unknown one, nothing. It counts as shown. Needs the scope `visitors:read`.

        The latest three messages, again until they are closed, a month has passed, or they have nothing to say any
        more: the visitor has ordered, or left the segment. Staff who look leave no trace. The key, which pages may
        hold, stands in the header or in the address.
        """
        is_visitor = isinstance(request.auth, ApiKey)
        found = on_site_inbox.messages_for(anonymous_id, datetime.now(UTC), is_visitor=is_visitor)
        return Response({"messages": [_as_dict(one) for one in found]}, headers=HEADERS)


class Dismissal(_VisitorView):
    """The closing of a message: by its visitor's page, never by staff."""

    @extend_schema(
        request=None,
        responses={
            204: OpenApiResponse(description="It is shown no more."),
            404: OpenApiResponse(ErrorSerializer, "This is no token."),
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["visitors"],
    )
    def post(self, request: Request, anonymous_id: str, token: UUID) -> Response:
        """Show a message to this visitor no more; of another's, nothing happens. Needs the scope `visitors:read`."""
        on_site_inbox.dismiss(anonymous_id, token, datetime.now(UTC))
        return Response(status=status.HTTP_204_NO_CONTENT, headers=HEADERS)


def _as_dict(delivery: Delivery) -> dict[str, Any]:
    content = delivery.content or {}
    return {"token": delivery.token} | {name: content.get(name, "") for name in ("title", "text", "url")}
