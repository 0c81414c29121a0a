"""Responses to errors outside the API's views: before a view is reached, or after it has responded."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from core.http.error_pages import FORM_EXPIRED, error_page

from .errors import (
    BAD_REQUEST_MESSAGE,
    DATABASE_UNAVAILABLE_MESSAGE,
    RETRY_AFTER_SECONDS,
    SERVER_ERROR_MESSAGE,
    error_body,
)


@csrf_exempt
def unknown_url(request: HttpRequest) -> HttpResponse:
    """Answer for addresses there is nothing at; one that lacks only its slash leads to the right one."""
    if not request.path_info.endswith("/") and _is_known(f"{request.path_info}/"):
        return redirect(request.get_full_path(force_append_slash=True), permanent=True, preserve_request=True)
    return JsonResponse(error_body("not_found", f"There is nothing at {request.path}."), status=404)


# What goes wrong before a view is reached or after it has answered; people are shown a page.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django does not take, such as one for a host that is not ours."""
    if not _is_of_the_api(request):
        return error_page(request, 400)
    return JsonResponse(error_body("bad_request", BAD_REQUEST_MESSAGE), status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer somebody who may not."""
    if not _is_of_the_api(request):
        return error_page(request, 403)
    return JsonResponse(error_body("permission_denied", "You may not do this."), status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for what is not there."""
    if not _is_of_the_api(request):
        return error_page(request, 404)
    return JsonResponse(error_body("not_found", f"There is nothing at {request.path}."), status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for a fault of ours, or for a database that is away; Django has logged it."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _database_away(request)
    if not _is_of_the_api(request):
        return error_page(request, 500)
    return JsonResponse(error_body("error", SERVER_ERROR_MESSAGE), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer who sends a form that is not from a page of ours, or no longer."""
    if not _is_of_the_api(request):
        return error_page(request, 403, FORM_EXPIRED)
    return JsonResponse(error_body("permission_denied", f"CSRF failed: {reason}"), status=403)


def _database_away(request: HttpRequest) -> HttpResponse:
    """Answer without asking the database, so that not even who asks is known."""
    response = (
        JsonResponse(error_body("database_away", DATABASE_UNAVAILABLE_MESSAGE), status=503)
        if _is_of_the_api(request)
        else error_page(request, 503)
    )
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _is_of_the_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(("/api/", "/v1/"))


def _is_known(path: str) -> bool:
    try:
        return resolve(path).func is not unknown_url
    except Resolver404:
        return False
