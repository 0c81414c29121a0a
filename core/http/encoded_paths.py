"""Encoded slashes in the ids of API URLs. They stay encoded if the server passes on the raw URL."""

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from django.http import HttpRequest, HttpResponse

from .path_converters import encode_path_part

API_PREFIX: Final = "/api/v1/"
# The first is gunicorn's name; the other is common.
RAW_URI_VARIABLES: Final = ("RAW_URI", "REQUEST_URI")


class EncodedPathMiddleware:
    """Match API URLs with the slashes and percent signs of ids still encoded.

    WSGI decodes the path before Django matches it, so ``eu%2F1042`` would look like two parts of the path.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(API_PREFIX):
            request.path_info = _encoded(request)
        return self.get_response(request)


def _encoded(request: HttpRequest) -> str:
    raw = next((request.META[name] for name in RAW_URI_VARIABLES if request.META.get(name)), "")
    path = urlsplit(raw).path if "://" in raw.partition("?")[0] else raw.partition("?")[0].partition("#")[0]
    path = path.removeprefix(request.META.get("SCRIPT_NAME", ""))
    if unquote(path) != request.path_info:  # no raw URL, or another server has rewritten it
        return request.path_info.replace("%", "%25")
    return "/".join(encode_path_part(unquote(part)) for part in path.split("/"))
