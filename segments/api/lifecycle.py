"""The stages of the lifecycle, and who went from which to which."""

from contextlib import suppress
from datetime import date
from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.admin import audit_log
from core.api import throttling
from core.api.errors import ACCESS_ERROR_RESPONSES, ErrorSerializer
from core.api.serializers import StrictSerializer
from core.db import time_limits
from core.values.decimals import plain_text
from segments import stages
from segments.lifecycle import editing
from segments.lifecycle.editing import InvalidStages, StageEntry
from segments.lifecycle.flow import FIRST_DAY, LAST_DAY, Flow, compute_flow
from segments.models import Segment
from segments.rules import RuleError, parse
from segments.stages import MAX_STAGES, Stage

from .fields import SlugField
from .preview import one_at_a_time
from .rules import check_changes_disclosure
from .segments import CAN_EDIT_SEGMENTS, CAN_READ_SEGMENTS, INVALID_REQUEST

MAX_SECONDS = 30.0
"""The time limit of a statement of a flow."""


class FlowTookTooLong(APIException):
    """The flow was stopped."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "took_too_long"
    default_detail = (
        f"Evaluating the stages took longer than {MAX_SECONDS:.0f} seconds and was stopped. `manage.py flow` has no"
        " time limit."
    )


class InvalidRule(APIException):
    """The stored rule of a stage is invalid."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "invalid_rule"


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A stage",
            {
                "slug": "repeat-buyers",
                "name": "Repeat",
                "shown": 4,
                "band": "hero",
                "is_built_in": False,
            },
        )
    ]
)
class StageSerializer(StrictSerializer):
    """A stage. The list is in the order in which the stages are asked."""

    slug = SlugField(help_text="The segment.")
    name = serializers.CharField(read_only=True, help_text="The name of the segment.")
    shown = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_STAGES,
        help_text="The place in the order of a life, from 1. Stages without a place follow those with one.",
    )
    band = SlugField(
        required=False,
        allow_null=True,
        help_text="A segment that is shown beside the stage: how many of the stage are also in it.",
    )
    is_built_in = serializers.BooleanField(
        read_only=True, help_text="The shop has no stages of its own yet. There need not be a segment."
    )


class LifecycleView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [CAN_EDIT_SEGMENTS() if self.request.method == "PUT" else CAN_READ_SEGMENTS()]

    @extend_schema(
        responses={200: StageSerializer(many=True), **ACCESS_ERROR_RESPONSES},
        tags=["lifecycle"],
    )
    def get(self, request: Request) -> Response:
        """List the stages, in the order in which they are asked. Needs the scope `segments:read`.

        A customer is in the first stage that holds. A shop without stages of its own has the built-in ones.
        """
        return Response(_stages_data(stages.lifecycle_stages()))

    @extend_schema(
        request=StageSerializer(many=True),
        responses={200: StageSerializer(many=True), **INVALID_REQUEST, **ACCESS_ERROR_RESPONSES},
        tags=["lifecycle"],
    )
    def put(self, request: Request) -> Response:
        """Replace the stages, in the order in which they are asked. Needs the scope `segments:write`."""
        given = StageSerializer(data=request.data, many=True)
        given.is_valid(raise_exception=True)
        try:
            editing.replace_stages(
                [
                    StageEntry(stage["slug"], stage.get("shown"), stage.get("band") or "")
                    for stage in given.validated_data
                ]
            )
        except InvalidStages as error:
            if error.place is None:
                raise ValidationError(error.message) from None
            raise ValidationError([{}] * error.place + [{error.field: error.message}]) from None
        stored = stages.stored_stages()
        if isinstance(request.user, User):
            changed: list[Segment] = [stage.segment for stage in stored if stage.segment]
            audit_log.log_changes(request, changed, "Made a stage of the lifecycle by the API.")
        return Response(_stages_data(stored))


def _stages_data(given: list[Stage]) -> list[dict[str, Any]]:
    return [
        {
            "slug": stage.slug,
            "name": stage.name,
            "shown": stage.shown + 1,
            "band": stage.band.slug if stage.band else None,
            "is_built_in": stage.segment is None,
        }
        for stage in given
    ]


class FlowDaysSerializer(serializers.Serializer[Any]):
    """The two days."""

    to = serializers.DateField(help_text="The second day. It may be the first one, but is not before it.")

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add the field ``from``, which is a keyword of Python."""
        return {"from": serializers.DateField(help_text="The first day."), **super().get_fields()}

    def validate(self, attrs: dict[str, date]) -> dict[str, date]:
        """Reject days out of range, and a last day before the first one."""
        for name, day in attrs.items():
            if not FIRST_DAY <= day <= LAST_DAY:
                raise ValidationError({name: f"Enter a day from {FIRST_DAY} to {LAST_DAY}."})
        if attrs["to"] < attrs["from"]:
            raise ValidationError({"to": "Enter a day that is not before `from`."})
        return attrs


class FlowCellSerializer(serializers.Serializer[Any]):
    """The customers who were in one stage, and are in one later. `-` is no stage, or did not exist yet."""

    to = serializers.CharField(help_text="The slug of the stage at the end of the second day.")
    customers = serializers.IntegerField()
    revenue = serializers.CharField(
        help_text="Of their counting orders placed between the ends of the two days, less refunds."
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add the field ``from``, which is a keyword of Python."""
        source = serializers.CharField(help_text="The slug of the stage at the end of the first day.")
        return {"from": source, **super().get_fields()}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "February",
            {
                "from": "2026-01-31",
                "to": "2026-02-28",
                "stages": ["lead", "first-order"],
                "cells": [
                    {"from": "lead", "to": "lead", "customers": 203, "revenue": "0.00"},
                    {"from": "lead", "to": "first-order", "customers": 55, "revenue": "4120.50"},
                    {"from": "-", "to": "lead", "customers": 27, "revenue": "0.00"},
                ],
            },
        )
    ]
)
class FlowSerializer(serializers.Serializer[Any]):
    """A matrix of who went from which stage to which. Cells without customers are left out."""

    to = serializers.DateField()
    stages = serializers.ListField(child=serializers.CharField(), help_text="In the order they are asked.")
    cells = FlowCellSerializer(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add the field ``from``, which is a keyword of Python."""
        return {"from": serializers.DateField(), **super().get_fields()}


class FlowView(APIView):
    permission_classes = [CAN_READ_SEGMENTS]
    rate = throttling.COSTLY

    @extend_schema(
        parameters=[FlowDaysSerializer],
        responses={
            200: FlowSerializer,
            400: OpenApiResponse(ErrorSerializer, "`invalid`: a day is invalid, or `to` is before `from`."),
            **ACCESS_ERROR_RESPONSES,
            409: OpenApiResponse(ErrorSerializer, "`invalid_rule`: the rule of a stage is invalid."),
            429: OpenApiResponse(
                ErrorSerializer, "`throttled`: another flow of this key is running; see `Retry-After`."
            ),
            503: OpenApiResponse(ErrorSerializer, f"`took_too_long`: over {MAX_SECONDS:.0f} seconds."),
        },
        tags=["lifecycle"],
    )
    def get(self, request: Request) -> Response:
        """Count who went from which stage to which between the ends of two days. Needs the scope `segments:read`.

        The stages are asked by their present rules, over the records up to the end of each day in the shop's time
        zone. Customers who do not exist at the end of the second day are not counted. Only one flow of a key is
        computed at a time.
        """
        asked = FlowDaysSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        shown = stages.lifecycle_stages()
        with suppress(RuleError):  # told below
            for stage in shown:
                check_changes_disclosure(parse(stage.rule), request)
        with one_at_a_time(request, "flow"):
            try:
                flow = compute_flow(
                    shown, asked.validated_data["from"], asked.validated_data["to"], MAX_SECONDS
                )
            except time_limits.StatementTimeout:
                raise FlowTookTooLong from None
            except RuleError as error:
                raise InvalidRule(f"The rule of a stage is invalid: {error}.") from None
        return Response(_flow_data(shown, flow))


def _flow_data(shown: list[Stage], flow: Flow) -> dict[str, Any]:
    return {
        "from": flow.since.isoformat(),
        "to": flow.until.isoformat(),
        "stages": [stage.slug for stage in shown],
        "cells": [
            {
                "from": cell.source,
                "to": cell.target,
                "customers": cell.customers,
                "revenue": plain_text(cell.revenue),
            }
            for cell in flow.cells
        ],
    }
