"""What tests of every app may ask for."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from django.conf import settings
from django.db import connection

from segments import waking
from segments_project.celery import app
from segments_project.servers import dying_with_parent


def pytest_configure() -> None:
    # Every test client would list all static files anew, which takes longer than most requests.
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def environment(transactional_db: None) -> dict[str, str]:
    """The environment for a process that shall see the database and the Redis of this test."""
    name = quote(str(connection.settings_dict["NAME"]))
    url = urlsplit(os.environ["DATABASE_URL"])
    if url.scheme == "sqlite":
        database = f"sqlite:///{name}"
    else:
        database = url._replace(path=f"/{name}").geturl()
    return {**os.environ, "DATABASE_URL": database, "REDIS_URL": settings.REDIS_URL}


@pytest.fixture
def celery_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A real worker on the database and the Redis of this test; its name, for `app.control.inspect`.

    For tests with `django_db(transaction=True)`: a worker sees only what is committed.
    """
    # What an earlier test has sent and nobody took, and the mark that it waits.
    app.control.purge()
    waking.begin()
    name = f"test-{uuid.uuid4().hex}@localhost"
    command = ["celery", "--quiet", "-A", "segments_project", "worker", "--hostname", name]
    options = ["--concurrency", "2", "--without-gossip", "--without-mingle"]
    log = tmp_path / "celery_worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *options],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=dying_with_parent(15),
        )
    try:
        eventually(
            lambda: process.poll() is not None or app.control.ping(destination=[name], timeout=0.5),
            within=60,
        )
        assert process.poll() is None, log.read_text()
        yield name
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        app.control.purge()


def eventually(holds: Callable[[], object], within: float = 20) -> None:
    """Wait until this holds; for what another process does."""
    until = time.monotonic() + within
    while not holds():
        assert time.monotonic() < until, f"not within {within} seconds"
        time.sleep(0.05)
