"""What API clients read when something is wrong: one shape for every error.

``{"code": …, "message": …, "errors": [{"path": …, "message": …}]}``; ``errors`` names the places in what was
sent and is an empty list where there is nothing to name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.utils.log import log_response
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import OpenApiResponse
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

Place = dict[str, str]


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
    401: OpenApiResponse(ErrorSerializer, "No key, a wrong one, or one that was revoked."),
    403: OpenApiResponse(ErrorSerializer, "The key lacks the scope; the message names it."),
}
BAD_PAGE = {400: OpenApiResponse(ErrorSerializer, "A cursor or a page size that will not do.")}


def body(code: str, message: str, errors: Iterable[Place] = ()) -> dict[str, Any]:
    """Give the shape of an error."""
    return {"code": code, "message": message, "errors": list(errors)}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer whatever a view raised; while debugging, a fault of ours is left to Django's page."""
    if isinstance(error, Http404):
        error = exceptions.NotFound(*error.args)
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    response = exception_handler(error, context)
    if response is None:
        return None if settings.DEBUG else _fault(error, context["request"]._request)
    if isinstance(error, exceptions.APIException):
        response.data = _described(error)
    return response


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Answer for addresses there is nothing at; one that lacks only its slash leads to the right one."""
    if not request.path_info.endswith("/") and _is_known(f"{request.path_info}/"):
        return redirect(request.get_full_path(force_append_slash=True), permanent=True, preserve_request=True)
    return JsonResponse(body("not_found", f"There is nothing at {request.path}."), status=404)


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
    response = Response(body("error", "Something went wrong here; it was logged."), status=500)
    log_response(
        "%s: %s", response.reason_phrase, request.path, response=response, request=request, exception=error
    )
    return response
