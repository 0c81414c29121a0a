"""What work costs: the processor time of this process and of PostgreSQL, statements and memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import harness  # noqa: F401 — it sets up Django
import psutil
from django.db import connection

from core.db import execution


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and processor seconds of this process and of the processes of PostgreSQL."""

    seconds: float = 0
    python: float = 0
    postgresql: float = 0

    @property
    def processor(self) -> float:
        return self.python + self.postgresql

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.python + other.python, self.postgresql + other.postgresql
        )


def cost_of(act: Callable[[], Any]) -> Cost:
    """Call a function. The processor time of PostgreSQL is counted in hundredths of a second."""
    started = time.perf_counter(), time.process_time(), postgresql_processor_s()
    act()
    ended = time.perf_counter(), time.process_time(), postgresql_processor_s()
    return Cost(*(after - before for before, after in zip(started, ended, strict=True)))


def postgresql_processor_s() -> float:
    """Return the processor seconds of the server so far, in all of its processes. It must run on this machine."""
    [(backend,)] = execution.fetch_all("SELECT pg_backend_pid()")
    server = psutil.Process(backend).parent()
    if server is None:
        raise SystemExit("PostgreSQL's main process is gone")
    own = server.cpu_times()
    spent = own.user + own.system + own.children_user + own.children_system  # children: those that have ended
    for process in server.children():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system
    return float(spent)


def memory_mb() -> float:
    """Return the resident memory of this process."""
    return float(psutil.Process().memory_info().rss) / 2**20


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """Yield a list that gets each statement of this connection. BEGIN, COMMIT and COPY are not among them."""
    statements: list[str] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        yield statements


@contextmanager
def added_latency(seconds: float) -> Iterator[None]:
    """Wait before each statement of this connection, as if the database were that far away."""

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        time.sleep(seconds)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wait):
        yield
