"""Limits for the size of request bodies, by who sends them."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse

MAX_ANONYMOUS_BYTES: Final = 500 * 1024
MAX_API_BYTES: Final = 16 * 2**20
MAX_STAFF_BYTES: Final = 2 * 2**30
"""For uploaded files. They go to disk, and a worker imports them."""

OWN_LIMIT_PREFIX: Final = "/v1/"  # the tracking endpoints, which check the size themselves


class BodyLimitMiddleware:
    """Refuse a request by its ``Content-Length``, before its body is read. Goes after the authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if (
            not length.isdigit()
            or int(length) <= MAX_ANONYMOUS_BYTES
            or request.path.startswith(OWN_LIMIT_PREFIX)
        ):
            return self.get_response(request)
        limit = _limit(request)
        if int(length) <= limit:
            return self.get_response(request)
        error = {"code": "too_large", "message": f"Send at most {limit} bytes.", "errors": []}
        return JsonResponse(error, status=413)


def _limit(request: HttpRequest) -> int:
    if request.path.startswith("/api/"):
        # The API checks the key before it reads the body.
        return (
            MAX_API_BYTES
            if request.headers.get("Authorization") or request.user.is_staff
            else MAX_ANONYMOUS_BYTES
        )
    return MAX_STAFF_BYTES if request.user.is_staff else MAX_ANONYMOUS_BYTES
