"""What API clients read when something is wrong: one shape for every error.

``{"code": …, "message": …, "errors": [{"path": …, "message": …}]}``; ``errors`` names the places in what was
sent and is an empty list where there is nothing to name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.log import log_response
from drf_spectacular.utils import OpenApiResponse, extend_schema_serializer
from rest_framework import exceptions, serializers, status, views
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from .parsers import BodyTooLarge

log = structlog.get_logger(__name__)

InvalidValue = dict[str, str]

DATABASE_UNAVAILABLE_MESSAGE = "The database is away or busy; send the request again in some seconds."
RETRY_AFTER_SECONDS = 5  # seconds
BAD_REQUEST_MESSAGE = "This request cannot be read: check its host, its headers and its body."
SERVER_ERROR_MESSAGE = "Something went wrong here; it was logged."


class DatabaseUnavailable(exceptions.APIException):
    """The database does not answer, or cannot do it now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "database_away"
    default_detail = DATABASE_UNAVAILABLE_MESSAGE
    wait = RETRY_AFTER_SECONDS  # the framework makes it a Retry-After


@extend_schema_serializer(component_name="Place")
class InvalidValueSerializer(serializers.Serializer[Any]):
    """One place in what was sent that will not do."""

    path = serializers.CharField(help_text="Such as `rule.all[0].order_count.at_least`; empty for the whole.")
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """What is wrong, in the one shape of every error."""

    code = serializers.CharField(help_text="One word for programs, such as `not_found`.")
    message = serializers.CharField(help_text="A sentence for people.")
    errors = InvalidValueSerializer(many=True, help_text="The places in what was sent; often empty.")  # type: ignore[assignment]


ACCESS_ERROR_RESPONSES = {
    401: OpenApiResponse(
        ErrorSerializer, "No key, or one that is wrong, expired, revoked, or not for use from that address."
    ),
    403: OpenApiResponse(ErrorSerializer, "The key lacks the scope; the message names it."),
    429: OpenApiResponse(ErrorSerializer, "Too many requests; `Retry-After` says when to send it again."),
}
PAGE_ERROR_RESPONSES = {400: OpenApiResponse(ErrorSerializer, "A cursor or a page size that will not do.")}


def error_body(code: str, message: str, errors: Iterable[InvalidValue] = ()) -> dict[str, Any]:
    """Give the shape of an error."""
    return {"code": code, "message": message, "errors": list(errors)}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer whatever a view raised; while debugging, a fault of ours is left to Django's page."""
    error = _as_of_the_framework(error)
    response = views.exception_handler(error, context)
    if response is None:
        if settings.DEBUG:
            return None
        response = _fault(error, context["request"]._request)
    if isinstance(error, exceptions.APIException):
        response.data = _described(error)
    _answer_in_json(context["request"])
    return response


def _answer_in_json(request: Request) -> None:
    """Tell an error in JSON, or on a page of the browsable API, whatever else was asked for."""
    renderer = getattr(request, "accepted_renderer", None)
    if not isinstance(renderer, (JSONRenderer, BrowsableAPIRenderer)):
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type


def _as_of_the_framework(error: Exception) -> Exception:
    """Translate what Django itself raises about a request."""
    match error:
        case Http404():
            return exceptions.NotFound(*error.args)
        case PermissionDenied():
            return exceptions.PermissionDenied(*error.args)
        case RequestDataTooBig() | TooManyFieldsSent() | TooManyFilesSent():
            return BodyTooLarge()
        case UnreadablePostError():
            return exceptions.ParseError("The body ended before it was complete.")
        case SuspiciousOperation() | BadRequest() | MultiPartParserError():
            return exceptions.ParseError(BAD_REQUEST_MESSAGE)
        case OperationalError() | InterfaceError():
            log.warning("database_away", error=str(error))
            views.set_rollback()
            return DatabaseUnavailable()
    return error


def summarize_invalid_values(places: Sequence[InvalidValue]) -> str:
    """Say in a sentence what is wrong in some places."""
    if len(places) == 1:
        return ": ".join(filter(None, (places[0]["path"], places[0]["message"])))
    return f"{len(places)} values will not do."


def _described(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error.detail, str):
        return error_body(error.detail.code or error.default_code, error.detail)
    places = list(_places(error.detail))
    return error_body(error.default_code, summarize_invalid_values(places), places)


def _places(detail: Any, path: str = "") -> Iterator[InvalidValue]:
    """Flatten the framework's nested messages; a list of texts is about one place, other lists are lists."""
    match detail:
        case str():
            yield {"path": path, "message": str(detail)}
        case Mapping():
            for name, inner in detail.items():
                yield from _places(inner, _below(path, name))
        case _:
            for place, inner in enumerate(detail):
                yield from _places(inner, path if isinstance(inner, str) else _below(path, place))


def _below(path: str, name: str | int) -> str:
    if name == "non_field_errors":
        return path
    if isinstance(name, int):  # a place in a list, which the framework may give as the key of a mapping, too
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _fault(error: Exception, request: HttpRequest) -> Response:
    # As Django does for what it answers itself: error trackers and the test client listen to the signal.
    got_request_exception.send(sender=None, request=request)
    views.set_rollback()
    response = Response(error_body("error", SERVER_ERROR_MESSAGE), status=500)
    log_response(
        "%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=error
    )
    return response
