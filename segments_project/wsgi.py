"""The WSGI application."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "segments_project.settings")

django_application = get_wsgi_application()


class CompleteBody:
    """A request body that raises OSError if it ends before its ``Content-Length``.

    Servers report an early end like a normal one, so half of an uploaded file would look complete.
    """

    def __init__(self, body: Any, length: int) -> None:
        self._body, self._left = body, length

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data: bytes = self._body.read(wanted)
        self._left -= len(data)
        if len(data) < wanted:
            raise OSError("the body ended before it was complete")
        return data

    def readline(self, size: int = -1) -> bytes:
        limit = self._left if size < 0 else min(size, self._left)
        line: bytes = self._body.readline(limit)
        self._left -= len(line)
        if len(line) < limit and not line.endswith(b"\n"):
            raise OSError("the body ended before it was complete")
        return line


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit():
        environ["wsgi.input"] = CompleteBody(environ["wsgi.input"], int(length))
    return django_application(environ, start_response)
