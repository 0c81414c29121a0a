"""Ids in addresses of the API: an encoded slash stays one, where the server hands over the address as it was sent."""

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from django.http import HttpRequest, HttpResponse

from .path_converters import encode_path_part

API_PREFIX: Final = "/api/v1/"
# gunicorn's own name, and the common one.
RAW_URI_VARIABLES: Final = ("RAW_URI", "REQUEST_URI")


class EncodedPathMiddleware:
    """Lets addresses of the API be matched with the slashes and percent signs of ids encoded.

    WSGI decodes an address before it is matched: ``eu%2F1042`` could not be told from two parts of the address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Encode what ``core.http.path_converters`` decodes."""
        if request.path_info.startswith(API_PREFIX):
            request.path_info = _encoded(request)
        return self.get_response(request)


def _encoded(request: HttpRequest) -> str:
    raw = next((request.META[name] for name in RAW_URI_VARIABLES if request.META.get(name)), "")
    path = urlsplit(raw).path if "://" in raw.partition("?")[0] else raw.partition("?")[0].partition("#")[0]
    path = path.removeprefix(request.META.get("SCRIPT_NAME", ""))
    if unquote(path) != request.path_info:  # there is none, or another server has rewritten it
        return request.path_info.replace("%", "%25")
    return "/".join(encode_path_part(unquote(part)) for part in path.split("/"))
