"""What the benchmarks share: their own database, parts in separate processes, and alternating runs.

A benchmark is one script in two roles. Started by a person, it starts the servers and runs its parts. A part is the
same script in a new process on a given database. Importing this module sets up Django for either role, never on the
shop of the person's environment.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import django

ROOT = Path(__file__).resolve().parent.parent
PART_VARIABLE = "SEGMENTS_BENCHMARK_DATABASE"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
for _name in ("TIME_ZONE", "SHOP_CURRENCY", "REFRESH_LEASE", "FIGURES_MAX_AGE", "DEBUG", "LOG_JSON"):
    os.environ.pop(_name, None)
os.environ |= {
    "DATABASE_URL": os.environ.get(PART_VARIABLE, "sqlite://:memory:"),
    "DJANGO_SETTINGS_MODULE": "segments_project.settings",
    "SECRET_KEY": "for the benchmarks only",
    "LOG_LEVEL": "WARNING",
}
django.setup()

from django.core.management import call_command  # noqa: E402 — only now
from django.db import connection  # noqa: E402

from segments_project.server.bundled_servers import postgres_server, signal_on_parent_death  # noqa: E402

# As in an installation of that size. All else is PostgreSQL's default, fsync included.
POSTGRESQL_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}

TimedRun = Callable[[], float]
"""Runs once and returns the seconds it took, without its preparation."""


@contextmanager
def database(engine: str, folder: Path | None = None) -> Iterator[str]:
    """Yield the URL of a database, which is empty unless the folder has one from an earlier run."""
    if engine == "postgresql":
        with postgres_server(folder, durable=True, options=POSTGRESQL_SETTINGS) as server:
            yield server.url
    else:
        with tempfile.TemporaryDirectory(prefix="segments-benchmark-") as name:
            yield f"sqlite:///{folder or name}/shop.sqlite3"


def run_part(url: str, *arguments: str) -> dict[str, Any]:
    """Run this script as a part. Return the result, which is its last line of output."""
    done = subprocess.run(
        [sys.executable, sys.argv[0], *arguments],
        env={**os.environ, PART_VARIABLE: url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=signal_on_parent_death(15),
    )
    if done.returncode:
        sys.exit(f"{sys.argv[0]} {' '.join(arguments)} ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def is_part() -> bool:
    """Return whether this process runs as a part."""
    return PART_VARIABLE in os.environ


def migrate() -> None:
    call_command("migrate", verbosity=0, interactive=False)


def log(line: str) -> None:
    """Write a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def print_result(figures: Mapping[str, Any]) -> None:
    print(json.dumps(figures), flush=True)


def time_alternately(competitors: Mapping[str, TimedRun], times: int) -> dict[str, float]:
    """Time the competitors in turn, so that other load affects all alike. Return the medians."""
    taken: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(1, times + 1):
        for name, seconds in competitors.items():
            taken[name].append(seconds())
            log(f"  run {number}  {name:<24} {taken[name][-1]:8.3f} s")
    return {name: round(median(values), 3) for name, values in taken.items()}


@contextmanager
def print_slowest_statements(most: int = 12) -> Iterator[None]:
    """Print the slowest statements. Statements that differ only in numbers count as one."""
    spent: dict[str, list[float]] = {}

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            spent.setdefault(" ".join(sql.split()), []).append(time.perf_counter() - started)

    started = time.perf_counter()
    with connection.execute_wrapper(watch):
        yield
    whole = time.perf_counter() - started
    log(f"  {whole:.3f} s, of which {sum(map(sum, spent.values())):.3f} s in {len(spent)} statements:")
    for sql, seconds in sorted(spent.items(), key=lambda item: -sum(item[1]))[:most]:
        shown = sql if len(sql) <= 150 else f"{sql[:100]} … {sql[-50:]}"
        log(f"  {sum(seconds):8.3f} s  {len(seconds):>5} times  {shown}")
