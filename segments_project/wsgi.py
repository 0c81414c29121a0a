"""The web application, as gunicorn serves it."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "segments_project.settings")

django_application = get_wsgi_application()


class CompleteBody:
    """A body that is read to its announced end; raises OSError where the client ends it earlier.

    Servers tell an early end as an ordinary one: the first half of an uploaded file would pass for all of it.
    """

    def __init__(self, body: Any, length: int) -> None:
        self._body, self._left = body, length

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or all."""
        wanted = self._left if size < 0 else min(size, self._left)
        data: bytes = self._body.read(wanted)
        self._left -= len(data)
        if len(data) < wanted:
            raise OSError("the body ended before it was complete")
        return data

    def readline(self, size: int = -1) -> bytes:
        """Read a line, or so many bytes of it."""
        most = self._left if size < 0 else min(size, self._left)
        line: bytes = self._body.readline(most)
        self._left -= len(line)
        if len(line) < most and not line.endswith(b"\n"):
            raise OSError("the body ended before it was complete")
        return line


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit():
        environ["wsgi.input"] = CompleteBody(environ["wsgi.input"], int(length))
    return django_application(environ, start_response)
