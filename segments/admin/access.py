"""Permissions for the pages that this app adds to the admin. Django's own views check theirs."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

View = Callable[..., HttpResponseBase]

VIEW_SEGMENT = "segments.view_segment"
ADD_SEGMENT = "segments.add_segment"
CHANGE_SEGMENT = "segments.change_segment"
VIEW_CUSTOMER = "customers.view_customer"

READ = ("GET", "HEAD")
WRITE = ("POST",)


def needs(*permissions: str, methods: tuple[str, ...] = ("GET", "HEAD", "POST")) -> Callable[[View], View]:
    """Let a view ``(model_admin, request, …)`` open only for those who have every permission, in these ways."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(model_admin: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perms(permissions):
                raise PermissionDenied
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            return view(model_admin, request, *args, **kwargs)

        return guarded

    return guard


def person(request: HttpRequest) -> User:
    """Give who asks: the admin lets nobody in who is nobody."""
    assert isinstance(request.user, User)
    return request.user
