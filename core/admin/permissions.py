"""Permissions of admin pages that do not belong to a model."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

View = Callable[..., HttpResponseBase]

READ_METHODS = ("GET", "HEAD")
WRITE_METHODS = ("POST",)


def require_permissions(
    *permissions: str, methods: tuple[str, ...] = ("GET", "HEAD", "POST")
) -> Callable[[View], View]:
    """Allow a view ``(model_admin, request, …)`` only with all permissions and these HTTP methods."""

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


def staff_user(request: HttpRequest) -> User:
    """Return the user of an admin page, who is always logged in."""
    assert isinstance(request.user, User)
    return request.user
