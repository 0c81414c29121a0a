"""How large a body may be: a stranger's is small, and one whose sender is not known is not read."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse

MAX_ANONYMOUS_BYTES: Final = 500 * 1024
MAX_API_BYTES: Final = 16 * 2**20
MAX_STAFF_BYTES: Final = 2 * 2**30
"""Of an uploaded file; it goes to disk, and a worker imports it."""

OWN_LIMIT_PREFIX: Final = "/v1/"  # the tracking endpoints, which answer in their own way


class BodyLimitMiddleware:
    """Refuse bodies by their announced length, before anything reads them; goes after whoever tells who asks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer 413 in place of the view, or let it answer."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        if (
            not length.isdigit()
            or int(length) <= MAX_ANONYMOUS_BYTES
            or request.path.startswith(OWN_LIMIT_PREFIX)
        ):
            return self.get_response(request)
        most = _most(request)
        if int(length) <= most:
            return self.get_response(request)
        told = {"code": "too_large", "message": f"At most {most} bytes are taken.", "errors": []}
        return JsonResponse(told, status=413)


def _most(request: HttpRequest) -> int:
    if request.path.startswith("/api/"):
        # The API finds out whose key it is before it reads.
        return (
            MAX_API_BYTES
            if request.headers.get("Authorization") or request.user.is_staff
            else MAX_ANONYMOUS_BYTES
        )
    return MAX_STAFF_BYTES if request.user.is_staff else MAX_ANONYMOUS_BYTES
