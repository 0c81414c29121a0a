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
    """Respond to an unknown URL of the API: 404, or a redirect if only the final slash is missing."""
    if not request.path_info.endswith("/") and _is_known(f"{request.path_info}/"):
        return redirect(request.get_full_path(force_append_slash=True), permanent=True, preserve_request=True)
    return JsonResponse(error_body("not_found", f"{request.path} does not exist."), status=404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Respond to a request that Django refuses, such as one for another host."""
    if not _is_api_request(request):
        return error_page(request, 400)
    return JsonResponse(error_body("bad_request", BAD_REQUEST_MESSAGE), status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api_request(request):
        return error_page(request, 403)
    return JsonResponse(error_body("permission_denied", "You do not have permission to do this."), status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not _is_api_request(request):
        return error_page(request, 404)
    return JsonResponse(error_body("not_found", f"{request.path} does not exist."), status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Respond to an unhandled exception, which Django has logged: 503 if the database is unavailable, else 500."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _database_unavailable(request)
    if not _is_api_request(request):
        return error_page(request, 500)
    return JsonResponse(error_body("error", SERVER_ERROR_MESSAGE), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Respond to a form whose CSRF token is missing or expired."""
    if not _is_api_request(request):
        return error_page(request, 403, FORM_EXPIRED)
    return JsonResponse(error_body("permission_denied", f"CSRF failed: {reason}"), status=403)


def _database_unavailable(request: HttpRequest) -> HttpResponse:
    """Respond without a query, and so without knowing the user."""
    response = (
        JsonResponse(error_body("database_away", DATABASE_UNAVAILABLE_MESSAGE), status=503)
        if _is_api_request(request)
        else error_page(request, 503)
    )
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _is_api_request(request: HttpRequest) -> bool:
    return request.path_info.startswith(("/api/", "/v1/"))


def _is_known(path: str) -> bool:
    try:
        return resolve(path).func is not unknown_url
    except Resolver404:
        return False
