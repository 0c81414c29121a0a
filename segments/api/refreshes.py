"""Refreshes that clients request and follow."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from segments.models import Refresh, RefreshResult
from segments.refresh.queue import BrokerUnavailable, request_refresh

from .segments import CAN_READ_SEGMENTS, SEGMENT_NOT_FOUND, get_segment

MAX_ID = 2**63 - 1


class NoRule(APIException):
    """A fixed list cannot be refreshed."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "no_rule"
    default_detail = "This is a fixed list of customers. It has no rule, so it cannot be refreshed."


class NoWorker(APIException):
    """No worker can be reached."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "no_worker"
    default_detail = "The refresh could not be queued, because Redis is unavailable. Try again later."


class RefreshResultSerializer(serializers.ModelSerializer[RefreshResult]):
    """What a refresh did to one segment."""

    segment = serializers.CharField(source="segment.slug", help_text="The slug of the segment.")

    class Meta:
        model = RefreshResult
        fields = ("segment", "version", "size", "known_size", "entered", "left", "error")
        read_only_fields = fields


class RefreshSerializer(serializers.ModelSerializer[Refresh]):
    """A refresh, with its state and results."""

    segment = serializers.CharField(
        source="segment.slug",
        default=None,
        allow_null=True,
        help_text="The slug of the segment that the refresh was requested for. Null for a refresh of all segments.",
    )
    state = serializers.ChoiceField(choices=Refresh.State.choices)
    at = serializers.SerializerMethodField(
        help_text="The instant as of which the members are right. Null while the refresh is queued."
    )
    started_at = serializers.SerializerMethodField(help_text="Null while the refresh is queued.")
    looked_at = serializers.IntegerField(
        source="evaluated", read_only=True, help_text=Refresh._meta.get_field("evaluated").help_text
    )
    error = serializers.CharField(help_text="What went wrong. Empty if nothing did.")
    results = RefreshResultSerializer(
        many=True,
        help_text="The segments whose members changed, that were new or edited, or that failed. Empty until the end.",
    )

    class Meta:
        model = Refresh
        fields = (
            *("id", "segment", "state", "at", "started_at", "finished_at", "touched", "looked_at", "error"),
            "results",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_at(self, refresh: Refresh) -> Any:
        return _instant_unless_queued(refresh, refresh.at)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_started_at(self, refresh: Refresh) -> Any:
        return _instant_unless_queued(refresh, refresh.started_at)


def _instant_unless_queued(refresh: Refresh, moment: datetime) -> Any:
    if refresh.state == Refresh.State.QUEUED:
        return None
    return serializers.DateTimeField().to_representation(moment)


class RefreshSegmentView(APIView):
    """The request for a refresh of one segment."""

    permission_classes = [require_scope("segments:write", "segments.change_segment")]

    @extend_schema(
        request=None,
        responses={
            202: RefreshSerializer,
            409: OpenApiResponse(ErrorSerializer, "`no_rule`: the segment is a fixed list."),
            503: OpenApiResponse(
                ErrorSerializer, "`no_worker`: the refresh cannot be queued now. Try again later."
            ),
            **ACCESS_ERROR_RESPONSES,
            **SEGMENT_NOT_FOUND,
        },
        tags=["refreshes"],
    )
    def post(self, request: Request, slug: str) -> Response:
        """Queue a refresh of one segment, and return its id. Needs the scope `segments:write`.

        If a refresh of this segment is queued already, that one is returned. All active segments are refreshed
        regularly anyway. Use this if you cannot wait, or for a paused segment.
        """
        segment = get_segment(slug)
        if not segment.is_dynamic:
            raise NoRule
        try:
            run = request_refresh(segment, datetime.now(UTC))
        except BrokerUnavailable:
            raise NoWorker from None
        address = reverse("api-refresh", args=[run.pk], request=request)
        return Response(RefreshSerializer(run).data, status.HTTP_202_ACCEPTED, headers={"Location": address})


class RefreshDetailView(APIView):
    permission_classes = [CAN_READ_SEGMENTS]

    @extend_schema(
        responses={
            200: RefreshSerializer,
            **ACCESS_ERROR_RESPONSES,
            404: OpenApiResponse(
                ErrorSerializer, "`not_found`: this refresh does not exist, or was deleted."
            ),
        },
        tags=["refreshes"],
    )
    def get(self, request: Request, pk: int) -> Response:
        """Return the state and the results of a refresh. Needs the scope `segments:read`.

        A refresh that changed nothing is deleted after a day.
        """
        runs = Refresh.objects.select_related("segment").prefetch_related("results__segment")
        run = runs.filter(pk=pk).first() if pk <= MAX_ID else None
        if run is None:
            raise NotFound(f"There is no refresh {pk}.")
        return Response(RefreshSerializer(run).data)
