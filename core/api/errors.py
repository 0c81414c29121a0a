"""The shape of every error of the API, and the exception handler.

``{"code": …, "message": …, "errors": [{"path": …, "message": …}]}``. ``errors`` lists the invalid values of the
request, and is empty if the problem is not a value.
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

DATABASE_UNAVAILABLE_MESSAGE = (
    "The database is not available or busy. Send the request again in a few seconds."
)
RETRY_AFTER_SECONDS = 5
BAD_REQUEST_MESSAGE = "The request is not valid. Check its host, headers and body."
SERVER_ERROR_MESSAGE = "Something went wrong. The error was logged."


class DatabaseUnavailable(exceptions.APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "database_away"
    default_detail = DATABASE_UNAVAILABLE_MESSAGE
    wait = RETRY_AFTER_SECONDS  # REST framework sends it as Retry-After


@extend_schema_serializer(component_name="Place")
class InvalidValueSerializer(serializers.Serializer[Any]):
    """One invalid value of a request."""

    path = serializers.CharField(
        help_text="Such as `rule.all[0].order_count.at_least`. Empty for the whole request."
    )
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """An error."""

    code = serializers.CharField(help_text="For programs, such as `not_found`.")
    message = serializers.CharField(help_text="A sentence for people.")
    errors = InvalidValueSerializer(many=True, help_text="The invalid values of the request. Often empty.")  # type: ignore[assignment]


ACCESS_ERROR_RESPONSES = {
    401: OpenApiResponse(
        ErrorSerializer, "No key, or a key that is wrong, expired, revoked, or not allowed from this address."
    ),
    403: OpenApiResponse(ErrorSerializer, "The key lacks a scope, which the message names."),
    429: OpenApiResponse(ErrorSerializer, "Too many requests. `Retry-After` says when to send it again."),
}
PAGE_ERROR_RESPONSES = {400: OpenApiResponse(ErrorSerializer, "The cursor or the page size is invalid.")}


def error_body(code: str, message: str, errors: Iterable[InvalidValue] = ()) -> dict[str, Any]:
    return {"code": code, "message": message, "errors": list(errors)}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to an exception of a view. With DEBUG, Django shows its own page for server errors."""
    error = _as_api_exception(error)
    response = views.exception_handler(error, context)
    if response is None:
        if settings.DEBUG:
            return None
        response = _server_error_response(error, context["request"]._request)
    if isinstance(error, exceptions.APIException):
        response.data = _error_body_of(error)
    _render_as_json(context["request"])
    return response


def _render_as_json(request: Request) -> None:
    """Send errors as JSON, or as a page of the browsable API, whatever format was requested."""
    renderer = getattr(request, "accepted_renderer", None)
    if not isinstance(renderer, (JSONRenderer, BrowsableAPIRenderer)):
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type


def _as_api_exception(error: Exception) -> Exception:
    """Convert Django's exceptions to those of REST framework."""
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


def summarize_invalid_values(values: Sequence[InvalidValue]) -> str:
    """Return one sentence about some invalid values."""
    if len(values) == 1:
        return ": ".join(filter(None, (values[0]["path"], values[0]["message"])))
    return f"{len(values)} values are invalid."


def _error_body_of(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error.detail, str):
        return error_body(error.detail.code or error.default_code, error.detail)
    values = list(_invalid_values(error.detail))
    return error_body(error.default_code, summarize_invalid_values(values), values)


def _invalid_values(detail: Any, path: str = "") -> Iterator[InvalidValue]:
    """Flatten REST framework's nested messages. A list of texts is about one value, other lists about several."""
    match detail:
        case str():
            yield {"path": path, "message": str(detail)}
        case Mapping():
            for name, inner in detail.items():
                yield from _invalid_values(inner, _path_below(path, name))
        case _:
            for index, inner in enumerate(detail):
                yield from _invalid_values(
                    inner, path if isinstance(inner, str) else _path_below(path, index)
                )


def _path_below(path: str, name: str | int) -> str:
    if name == "non_field_errors":
        return path
    if isinstance(name, int):  # an index, which REST framework may use as a key of a mapping, too
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _server_error_response(error: Exception, request: HttpRequest) -> Response:
    # As Django does for its own responses: error trackers and the test client listen to the signal.
    got_request_exception.send(sender=None, request=request)
    views.set_rollback()
    response = Response(error_body("error", SERVER_ERROR_MESSAGE), status=500)
    log_response(
        "%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=error
    )
    return response
