"""The public segments of a visitor, for the pages of the shop."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api import throttling
from core.api.authentication import KeyAuthentication, QueryKeyAuthentication, require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES
from core.api.keys import VISITORS_SCOPE
from segments import public_segments


class SegmentsOfVisitorSerializer(serializers.Serializer[Any]):
    """The slugs of the public segments that a visitor is in."""

    segments = serializers.ListField(child=serializers.CharField(), help_text="Slugs, in alphabetical order.")


class SegmentsOfVisitorView(APIView):
    """The public segments of a visitor."""

    authentication_classes = [KeyAuthentication, QueryKeyAuthentication, SessionAuthentication]
    permission_classes = [
        require_scope(VISITORS_SCOPE, "segments.view_membership", "customers.view_customer")
    ]
    rate = throttling.VISITORS

    @extend_schema(
        responses={
            200: OpenApiResponse(
                SegmentsOfVisitorSerializer,
                examples=[OpenApiExample("In two", {"segments": ["browsers", "waiting"]})],
            ),
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["visitors"],
    )
    def get(self, request: Request, anonymous_id: str) -> Response:
        """List the public segments that a visitor is in at this moment. Needs the scope `visitors:read`.

        The list is empty for an unknown visitor. The key may be public: send it in the header or in the URL.
        """
        found = public_segments.find_public_segments(anonymous_id, datetime.now(UTC))
        # The response is about one person and valid for a moment, so caches must not store it.
        return Response({"segments": found}, headers={"Cache-Control": "private, no-store"})
