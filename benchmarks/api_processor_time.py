"""The processor time of API requests in this process, without a server: that of Python, not of the database.

The kinds of requests alternate. A kind's time is the mean of a round, garbage collection included, and the median of
the rounds.
"""

import io
import random
import time
from collections.abc import Callable, Iterator
from statistics import mean, median
from typing import Any
from wsgiref.util import setup_testing_defaults

import harness
from api_requests import ApiRequest, endless_requests
from api_server import application, without_middleware
from django.core.handlers.wsgi import WSGIHandler

ROUNDS, REQUESTS_A_ROUND, WARM_UP_REQUESTS = 12, 25, 20
OWN = ("live", "page", "membership")


def measure(shop: dict[str, Any]) -> dict[str, float]:
    """Return the milliseconds of each endpoint beyond those of a bare view of Django REST framework.

    ``bare_vs_django`` compares that view, with all middleware, with a view of Django without any. Both return one row.
    """
    everything = endless_requests(shop, random.Random("processor time"))
    for name, asked in everything.items():
        for _ in range(WARM_UP_REQUESTS):
            _processor_ms(name, next(asked))
    rounds = [_measure_round(everything) for _ in range(ROUNDS)]
    taken = {name: median(one[name] for one in rounds) for name in everything}
    figures = {f"{name}_own_ms": round(taken[name] - taken["bare"], 3) for name in OWN}
    figures["bare_vs_django"] = round(taken["bare"] / taken["plain"], 2)
    figures |= {f"{name}_processor_ms": round(taken[name], 3) for name in ("bare", "plain")}
    harness.log(f"  processor    {figures}")
    return figures


def _measure_round(everything: dict[str, Iterator[ApiRequest]]) -> dict[str, float]:
    return {
        name: mean(_processor_ms(name, next(asked)) for _ in range(REQUESTS_A_ROUND))
        for name, asked in everything.items()
    }


def _processor_ms(name: str, request: ApiRequest) -> float:
    handler = without_middleware if name == "plain" else application
    environ = _environ(request)
    started = time.process_time()
    status, content = _respond(handler, environ)
    taken = 1000 * (time.process_time() - started)
    if not status.startswith("200"):
        raise SystemExit(f"{request.method} {request.address} answered {status}: {content[:300]!r}")
    return taken


def _environ(request: ApiRequest) -> dict[str, Any]:
    path, _, query = request.address.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Bearer {request.key}",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(request.body),
    }
    setup_testing_defaults(environ)
    return environ


def _respond(handler: WSGIHandler, environ: dict[str, Any]) -> tuple[str, bytes]:
    """Return the status line and the whole body of a response."""
    statuses: list[str] = []

    def start(status: str, headers: Any, problem: Any = None, /) -> Callable[[bytes], object]:
        statuses.append(status)
        return io.BytesIO().write  # WSGI's old way to write, which Django does not use

    response = handler(environ, start)
    try:
        return statuses[0], b"".join(response)
    finally:
        response.close()
