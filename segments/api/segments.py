"""List, read, create, edit and delete segments. ``segments.segment_store`` does the writing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import django_filters
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http.response import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.admin import audit_log
from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, PAGE_ERROR_RESPONSES, ErrorSerializer
from core.api.idempotency import IDEMPOTENCY_ERROR_RESPONSES, idempotent
from core.api.pagination import KeysetPagination
from core.models import ApiKey
from core.values.regexes import WITHOUT_NUL
from segments import segment_store
from segments.models import Segment
from segments.refresh.queue import BrokerUnavailable, request_refresh
from segments.refresh.write import lock_members
from segments.rules import parse
from segments.templates import TEMPLATES, ParameterError

from . import conditional_requests
from .rules import check_disclosure, rule_errors_by_path
from .serializers import SegmentByRuleSerializer, SegmentByTemplateSerializer, SegmentSerializer

CAN_READ_SEGMENTS = require_scope("segments:read", "segments.view_segment")
CAN_CREATE_SEGMENTS = require_scope("segments:write", "segments.add_segment")
CAN_EDIT_SEGMENTS = require_scope("segments:write", "segments.change_segment")
CAN_DELETE_SEGMENTS = require_scope("segments:write", "segments.delete_segment")

SEGMENT_NOT_FOUND = {404: OpenApiResponse(ErrorSerializer, "`not_found`: this segment does not exist.")}
INVALID_REQUEST = {
    400: OpenApiResponse(
        ErrorSerializer,
        "`invalid`: a field is unknown or invalid, the slug is taken, or the rule has an error, with its path, such as"
        " `rule.all[0].order_count.at_least`. `parse_error`: the body is not JSON.",
    ),
    413: OpenApiResponse(ErrorSerializer, "`too_large`: the body is larger than 16 MB."),
    415: OpenApiResponse(ErrorSerializer, "`unsupported_media_type`: send `application/json`."),
}
SEGMENT_IN_USE = {
    409: OpenApiResponse(ErrorSerializer, "`in_use`: others use the segment; the message names them.")
}
NEW_SEGMENT = PolymorphicProxySerializer(
    component_name="NewSegment",
    serializers=[SegmentByRuleSerializer, SegmentByTemplateSerializer],
    resource_type_field_name=None,
)


SEARCH = OpenApiParameter(
    "search",
    {"type": "string", "maxLength": 200, "pattern": WITHOUT_NUL},
    description="A part of the name or the slug.",
)


class InUse(APIException):
    """Rules of other segments, or campaigns, use the segment."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "in_use"


class SegmentFilterSet(FilterSet):
    kind = django_filters.ChoiceFilter(
        choices=Segment.Kind.choices, help_text="Segments by rule, or fixed lists."
    )
    status = django_filters.ChoiceFilter(choices=Segment.Status.choices, method="in_status")
    search = django_filters.CharFilter(method="named", max_length=200)

    def in_status(self, segments: Any, name: str, value: str) -> Any:
        return segments.in_status(value)

    def named(self, segments: QuerySet[Segment], name: str, value: str) -> QuerySet[Segment]:
        return segments.filter(Q(name__icontains=value) | Q(slug__icontains=value))


class SegmentListView(GenericAPIView):
    pagination_class = KeysetPagination
    filter_backends = [DjangoFilterBackend]
    filterset_class = SegmentFilterSet
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()

    def get_permissions(self) -> list[BasePermission]:
        return [CAN_CREATE_SEGMENTS() if self.request.method == "POST" else CAN_READ_SEGMENTS()]

    @extend_schema(
        parameters=[SEARCH, conditional_requests.IF_NONE_MATCH],
        responses={
            200: SegmentSerializer(many=True),
            **conditional_requests.NOT_MODIFIED,
            **PAGE_ERROR_RESPONSES,
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["segments"],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List all segments, the oldest first. Needs the scope `segments:read`."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert page is not None
        links = self.get_paginated_response(None).data
        tag = conditional_requests.page_etag(page, links["next"], links["previous"])
        if same := conditional_requests.not_modified(request, tag):
            return same
        shown = self.get_paginated_response(self.get_serializer(page, many=True).data)
        return conditional_requests.with_etag(shown, tag)

    @extend_schema(
        request=NEW_SEGMENT,
        responses={
            201: SegmentSerializer,
            **INVALID_REQUEST,
            **IDEMPOTENCY_ERROR_RESPONSES,
            **ACCESS_ERROR_RESPONSES,
        },
        tags=["segments"],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a segment from a rule or a template. Needs the scope `segments:write`.

        A worker refreshes it within moments. Until then, its status is `new`.
        """
        is_made_of_template = isinstance(request.data, dict) and "template" in request.data
        kind = SegmentByTemplateSerializer if is_made_of_template else SegmentByRuleSerializer
        given = validated_data(kind(data=request.data))
        with rule_errors_by_path():
            new = _new_segment(given)
            check_disclosure(parse(new.rule), request)
            segment = segment_store.save_segment(new, by=_author(request))
        _log_for_staff(request, audit_log.log_additions, segment, "Created by the API.")
        request_refresh_on_commit(segment)
        response = conditional_requests.with_etag(
            Response(SegmentSerializer(segment).data, status.HTTP_201_CREATED),
            conditional_requests.segment_etag(segment),
        )
        response["Location"] = request.build_absolute_uri(f"{segment.slug}/")
        return response


class SegmentDetailView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        changes = {"PATCH": CAN_EDIT_SEGMENTS, "DELETE": CAN_DELETE_SEGMENTS}
        return [changes.get(self.request.method or "", CAN_READ_SEGMENTS)()]

    @extend_schema(
        parameters=[conditional_requests.IF_NONE_MATCH],
        responses={
            200: SegmentSerializer,
            **conditional_requests.NOT_MODIFIED,
            **ACCESS_ERROR_RESPONSES,
            **SEGMENT_NOT_FOUND,
        },
        tags=["segments"],
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Return a segment. Needs the scope `segments:read`."""
        segment = get_segment(slug)
        tag = conditional_requests.segment_etag(segment)
        return conditional_requests.not_modified(request, tag) or _segment_response(segment)

    @extend_schema(
        parameters=[conditional_requests.IF_MATCH],
        request=SegmentByRuleSerializer(partial=True),
        responses={
            200: SegmentSerializer,
            **INVALID_REQUEST,
            **ACCESS_ERROR_RESPONSES,
            **SEGMENT_NOT_FOUND,
            **conditional_requests.PRECONDITION_FAILED,
        },
        tags=["segments"],
    )
    def patch(self, request: Request, slug: str) -> HttpResponseBase:
        """Change the fields of a segment that the request contains. Needs the scope `segments:write`.

        A different rule is saved as a new version and refreshed within moments. Until then, the status is `edited`. A
        fixed list has no rule to edit. The slug cannot be changed while rules of other segments refer to it.
        """
        with transaction.atomic():
            segment = get_segment(slug, locked=True)
            # Validate first: a request that is invalid anyway must not fail with 412 (RFC 9110, 13.2.1).
            given = validated_data(SegmentByRuleSerializer(data=request.data, partial=True))
            conditional_requests.check_if_match(request, segment)
            before = segment.version
            if "rule" in given and not segment.is_dynamic:
                raise ValidationError({"rule": "cannot be set, because this is a fixed list of customers"})
            if "rule" in given and given["rule"] != segment.rule:
                with rule_errors_by_path():
                    check_disclosure(parse(given["rule"]), request)
            for name, value in given.items():
                setattr(segment, name, value)
            with rule_errors_by_path():
                if segment.is_dynamic:
                    segment_store.save_segment(segment, by=_author(request))
                else:
                    segment_store.save_fixed_list(segment)
            _log_for_staff(
                request,
                audit_log.log_changes,
                segment,
                f"Edited by the API: {', '.join(given) or 'nothing'}.",
            )
        if segment.version != before:
            request_refresh_on_commit(segment)
        return _segment_response(segment)

    @extend_schema(
        parameters=[conditional_requests.IF_MATCH],
        responses={
            204: None,
            **ACCESS_ERROR_RESPONSES,
            **SEGMENT_NOT_FOUND,
            **SEGMENT_IN_USE,
            **conditional_requests.PRECONDITION_FAILED,
        },
        tags=["segments"],
    )
    def delete(self, request: Request, slug: str) -> HttpResponseBase:
        """Delete a segment with its members and its history. Needs the scope `segments:write`."""
        with transaction.atomic(), _in_use_as_conflict():
            lock_members()  # before its row is locked, as a refresh does
            segment = get_segment(slug, locked=True)
            conditional_requests.check_if_match(request, segment)
            _log_for_staff(request, audit_log.log_deletions, segment, "Deleted by the API.")
            segment_store.delete_segments([segment])
        return Response(status=status.HTTP_204_NO_CONTENT)


def get_segment(slug: str, *, locked: bool = False) -> Segment:
    """Return a segment by its slug, on demand with its row locked. Raises NotFound."""
    segments = Segment.objects.filter(slug=slug)
    segment = (segments.select_for_update() if locked else segments).first()
    if segment is None:
        raise NotFound(f"There is no segment {slug}.")
    return segment


def validated_data(serializer: Any) -> dict[str, Any]:
    """Return the validated data of a serializer. Raises ValidationError."""
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data


def request_refresh_on_commit(segment: Segment) -> None:
    """Request a refresh after the commit. If Redis is unavailable, the next scheduled refresh includes the segment."""

    def ask() -> None:
        with suppress(BrokerUnavailable):
            request_refresh(segment, datetime.now(UTC))

    transaction.on_commit(ask)


def _new_segment(given: dict[str, Any]) -> Segment:
    if "template" not in given:
        return Segment(**given)
    template, chosen = TEMPLATES[given.pop("template")], given.pop("parameters", {})
    try:
        rule = template.rule(**chosen)
    except ParameterError as error:
        name, _, message = str(error).partition(": ")
        raise ValidationError({f"parameters.{name}": message}) from None
    names = {"slug": template.slug, "name": template.name, "description": template.description} | given
    return Segment(
        **names, rule=rule, template=template.slug, template_parameters=template.defaults() | chosen
    )


def _segment_response(segment: Segment) -> HttpResponseBase:
    return conditional_requests.with_etag(
        Response(SegmentSerializer(segment).data), conditional_requests.segment_etag(segment)
    )


@contextmanager
def _in_use_as_conflict() -> Iterator[None]:
    try:
        yield
    except segment_store.SegmentInUse as error:
        raise InUse(f"{error.args[0]}.") from None


def _author(request: Request) -> User | str:
    if isinstance(request.auth, ApiKey):
        return f"key {request.auth.name}"
    assert isinstance(request.user, User)
    return request.user


def _log_for_staff(request: Request, note: Any, segment: Segment, what: str) -> None:
    """Record what staff did in the audit log. What a key did is recorded in the versions of the rule."""
    if isinstance(request.user, User):
        note(request, [segment], what)
