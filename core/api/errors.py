"""What API clients read when something is wrong: one shape for every error.

``{"code": …, "message": …, "errors": [{"path": …, "message": …}]}``; ``errors`` names the places in what was
sent and is an empty list where there is nothing to name.
"""

import sys
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
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import OpenApiResponse
from rest_framework import exceptions, serializers, status
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from core.http.error_pages import EXPIRED, error_page

from .parsers import TooLarge

log = structlog.get_logger(__name__)

Place = dict[str, str]

AWAY = "The database is away or busy; send the request again in some seconds."
AWAY_FOR = 5  # seconds
BAD_REQUEST = "This request cannot be read: check its host, its headers and its body."
FAULT = "Something went wrong here; it was logged."


class DatabaseAway(exceptions.APIException):
    """The database does not answer, or cannot do it now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "database_away"
    default_detail = AWAY
    wait = AWAY_FOR  # the framework makes it a Retry-After


class PlaceSerializer(serializers.Serializer[Any]):
    """One place in what was sent that will not do."""

    path = serializers.CharField(help_text="Such as `rule.all[0].order_count.at_least`; empty for the whole.")
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """What is wrong, in the one shape of every error."""

    code = serializers.CharField(help_text="One word for programs, such as `not_found`.")
    message = serializers.CharField(help_text="A sentence for people.")
    errors = PlaceSerializer(many=True, help_text="The places in what was sent; often empty.")  # type: ignore[assignment]


REFUSED = {
    401: OpenApiResponse(
        ErrorSerializer, "No key, or one that is wrong, expired, revoked, or not for use from that address."
    ),
    403: OpenApiResponse(ErrorSerializer, "The key lacks the scope; the message names it."),
    429: OpenApiResponse(ErrorSerializer, "Too many requests; `Retry-After` says when to send it again."),
}
BAD_PAGE = {400: OpenApiResponse(ErrorSerializer, "A cursor or a page size that will not do.")}


def body(code: str, message: str, errors: Iterable[Place] = ()) -> dict[str, Any]:
    """Give the shape of an error."""
    return {"code": code, "message": message, "errors": list(errors)}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer whatever a view raised; while debugging, a fault of ours is left to Django's page."""
    error = _as_of_the_framework(error)
    response = exception_handler(error, context)
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
            return TooLarge()
        case UnreadablePostError():
            return exceptions.ParseError("The body ended before it was complete.")
        case SuspiciousOperation() | BadRequest() | MultiPartParserError():
            return exceptions.ParseError(BAD_REQUEST)
        case OperationalError() | InterfaceError():
            log.warning("database_away", error=str(error))
            set_rollback()
            return DatabaseAway()
    return error


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Answer for addresses there is nothing at; one that lacks only its slash leads to the right one."""
    if not request.path_info.endswith("/") and _is_known(f"{request.path_info}/"):
        return redirect(request.get_full_path(force_append_slash=True), permanent=True, preserve_request=True)
    return JsonResponse(body("not_found", f"There is nothing at {request.path}."), status=404)


# What goes wrong before a view is reached or after it has answered; people are shown a page.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django does not take, such as one for a host that is not ours."""
    if not _is_of_the_api(request):
        return error_page(request, 400)
    return JsonResponse(body("bad_request", BAD_REQUEST), status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer somebody who may not."""
    if not _is_of_the_api(request):
        return error_page(request, 403)
    return JsonResponse(body("permission_denied", "You may not do this."), status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for what is not there."""
    if not _is_of_the_api(request):
        return error_page(request, 404)
    return JsonResponse(body("not_found", f"There is nothing at {request.path}."), status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for a fault of ours, or for a database that is away; Django has logged it."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _database_away(request)
    if not _is_of_the_api(request):
        return error_page(request, 500)
    return JsonResponse(body("error", FAULT), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer who sends a form that is not from a page of ours, or no longer."""
    if not _is_of_the_api(request):
        return error_page(request, 403, EXPIRED)
    return JsonResponse(body("permission_denied", f"CSRF failed: {reason}"), status=403)


def _database_away(request: HttpRequest) -> HttpResponse:
    """Answer without asking the database, so that not even who asks is known."""
    response = (
        JsonResponse(body("database_away", AWAY), status=503)
        if _is_of_the_api(request)
        else error_page(request, 503)
    )
    response["Retry-After"] = str(AWAY_FOR)
    return response


def _is_of_the_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(("/api/", "/v1/"))


def _is_known(path: str) -> bool:
    try:
        return resolve(path).func is not unknown_address
    except Resolver404:
        return False


def message_of(places: Sequence[Place]) -> str:
    """Say in a sentence what is wrong in some places."""
    if len(places) == 1:
        return ": ".join(filter(None, (places[0]["path"], places[0]["message"])))
    return f"{len(places)} values will not do."


def _described(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error.detail, str):
        return body(error.detail.code or error.default_code, error.detail)
    places = list(_places(error.detail))
    return body(error.default_code, message_of(places), places)


def _places(detail: Any, path: str = "") -> Iterator[Place]:
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
    set_rollback()
    response = Response(body("error", FAULT), status=500)
    log_response(
        "%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=error
    )
    return response
