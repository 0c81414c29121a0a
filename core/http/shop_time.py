"""Times on pages and in the API are in the shop's time zone, which staff can change while the processes run."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.shop import enter_shop_time

UNTIMED_PATH = "/healthz"
"""Must respond while the database is away, and prints no times."""


class ShopTimeMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info != UNTIMED_PATH:
            # It stays: a streamed response is written after this function, and the next request enters it anew.
            enter_shop_time()
        return self.get_response(request)
