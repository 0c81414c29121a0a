"""Logging of requests: the address and the user that all log lines of a request carry."""

import structlog
from django.conf import settings
from django.http import HttpRequest
from django_structlog.middlewares import RequestMiddleware

from .client_ip import client_ip


class RequestLogMiddleware(RequestMiddleware):
    """Binds what most requests have without a search through their headers and without a session."""

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        """Bind the same address that rate limits and keys see, which clients cannot make up."""
        structlog.contextvars.bind_contextvars(ip=client_ip(request))

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Bind the user's key. Without a session there is none to look for."""
        session = getattr(request, "session", None)
        if session is None or session.accessed or settings.SESSION_COOKIE_NAME in request.COOKIES:
            RequestMiddleware.bind_user_id(request)
        else:
            structlog.contextvars.bind_contextvars(user_id=None)
