"""An installation for browsers: the furnished shop on a database of its own, served as in production."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from django.conf import settings

from segments_project.server.bundled_servers import free_port, signal_on_parent_death

READY_WITHIN = 60.0
WEB = "gunicorn --config python:segments_project.server.gunicorn_config --workers 1 --log-level warning"
WEB += " segments_project.wsgi"
WORKER = "celery --quiet --app segments_project worker --queues celery,counts --pool solo"
WORKER += " --without-gossip --without-mingle"


@dataclass(frozen=True)
class Installation:
    """Where it answers, where its pages are, and a session of each of its staff."""

    url: str
    environment: Mapping[str, str]
    addresses: dict[str, str]
    sessions: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """Run one of its commands; give what it prints."""
        return _managed(self.environment, *arguments)


@contextmanager
def installation(database_url: str, redis_url: str, folder: Path, customers: int) -> Iterator[Installation]:
    """Make the shop in an empty database and serve it; ``folder`` gets the log."""
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "LOG_LEVEL": "WARNING"}
    made = _make(environment, customers)
    with web(environment, folder / "web.log") as url:
        yield Installation(url, environment, **made)


@contextmanager
def empty_installation(database_url: str, redis_url: str, folder: Path) -> Iterator[Installation]:
    """Serve an empty database to its first administrator, with a worker."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "IMPORTS_DIR": str(folder / "imports"),
        "LOG_LEVEL": "WARNING",
    }
    _managed(environment, "migrate", "--verbosity", "0")
    made = _printed(environment, "begin()")
    with web(environment, folder / "web.log") as url, worker(environment, folder / "worker.log"):
        yield Installation(url, environment, **made)


@contextmanager
def web(environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Serve the database and the Redis of an environment; give the address."""
    port = free_port()
    with _running(f"{WEB} --bind 127.0.0.1:{port}", environment, log) as process:
        _wait_for(process, port, log)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def worker(environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Do the tasks of an environment, soon."""
    with _running(WORKER, environment, log):
        yield


@contextmanager
def _running(command: str, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=signal_on_parent_death(15),
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _make(environment: Mapping[str, str], customers: int) -> dict[str, dict[str, str]]:
    return _printed(environment, f"make_furnished_shop({customers})")


def _printed(environment: Mapping[str, str], call: str) -> dict[str, dict[str, str]]:
    script = f"from tests.support import furnished_shop; furnished_shop.{call}"
    printed = _managed(environment, "shell", "--verbosity", "0", "--command", script)
    made: dict[str, dict[str, str]] = json.loads(printed.splitlines()[-1])
    return made


def _managed(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_WITHIN
    while not _answers(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, f"not ready within {READY_WITHIN:.0f} seconds: {log.read_text()}"
        time.sleep(0.1)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (HTTPException, OSError):
        return False
    finally:
        connection.close()
