"""What tests of every app may ask for."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from core.db import distribution
from core.shop import forget_shop
from customers.models import Customer
from segments.wakeups import REFRESH
from segments_project.celery import app
from segments_project.distribution import LAYOUT
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.support.cheap_flush import install_cheap_flush

LITTER = {"public": 1_000, "pg_catalog": 20_000}  # rows; each test creates the temporary tables it needs


def pytest_configure() -> None:
    # Every test client would list all static files anew, which takes longer than most requests.
    settings.WHITENOISE_AUTOREFRESH = True
    # No test reads or deletes the messages of a developer's shop; those that write some name a folder.
    settings.EMAIL_FILE_PATH = ""
    # Hashes that are slow to guess are slow to make, for each of the staff of each test.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def is_cluster(config: pytest.Config) -> bool:
    return bool(config.getoption("--database") == "cluster")


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    # A database of the tests' own would lack the extension.
    return is_cluster(request.config) or bool(request.config.getvalue("reuse_db"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, request: pytest.FixtureRequest) -> None:
    if is_cluster(request.config):
        if "PYTEST_XDIST_WORKER" in os.environ:
            raise pytest.UsageError(
                "a cluster has one database for the tests: run them with --numprocesses 0"
            )
        connection.settings_dict["TEST"]["NAME"] = connection.settings_dict["NAME"]


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, request: pytest.FixtureRequest
) -> None:
    with django_db_blocker.unblock():
        if is_cluster(request.config):
            distribution.distribute(LAYOUT)
        else:
            install_cheap_flush()


@pytest.fixture(autouse=True)
def shop_is_read_anew() -> Iterator[None]:
    """What a request of a test has read and entered does not hold for the next test."""
    yield
    forget_shop()
    timezone.deactivate()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On PostgreSQL, run tests marked ``distributed_keys`` on the keys before and after ``distribute``."""
    is_marked = metafunc.definition.get_closest_marker("distributed_keys")
    if is_marked and metafunc.config.getoption("--database") == "postgresql":
        metafunc.fixturenames.append("keys")
        metafunc.parametrize("keys", ["keys of the migrations", "distributed keys"], indirect=True)


@pytest.fixture
def keys(request: pytest.FixtureRequest, db: None) -> Iterator[None]:
    if request.param != "distributed keys":
        yield
        return
    assert distribution.distribute(LAYOUT)
    yield
    if not connection.in_atomic_block:  # else they change back with the transaction
        [unique] = Customer._meta.constraints
        with connection.schema_editor() as editor:
            editor.execute(f"DROP INDEX {unique.name}")
            editor.add_constraint(Customer, unique)


@pytest.fixture(autouse=True, scope="module")
def clear_away(django_db_setup: None) -> Iterator[None]:
    """Free the space of the many rows that the tests of a module wrote and took back."""
    yield
    if urlsplit(os.environ["DATABASE_URL"]).scheme == "sqlite":
        return
    # By a connection of its own: under Playwright, Django's refuses to ask.
    with psycopg.connect(_database_url(), autocommit=True) as server:
        for schema, rows in LITTER.items():
            littered = server.execute(
                "SELECT relid::regclass::text FROM pg_stat_all_tables WHERE schemaname = %s AND n_dead_tup > %s",
                [schema, rows],
            )
            for (table,) in littered.fetchall():
                server.execute(f"VACUUM {table}".encode())


@pytest.fixture
def environment(transactional_db: None) -> dict[str, str]:
    """The environment for a process that shall see the database and the Redis of this test."""
    return {**os.environ, "DATABASE_URL": _database_url(), "REDIS_URL": settings.REDIS_URL}


def _database_url() -> str:
    """The database of the tests of this process."""
    name = quote(str(connection.settings_dict["NAME"]))
    url = urlsplit(os.environ["DATABASE_URL"])
    return f"sqlite:///{name}" if url.scheme == "sqlite" else url._replace(path=f"/{name}").geturl()


@pytest.fixture
def celery_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A real worker on the database and the Redis of this test; its name, for `app.control.inspect`.

    For tests with `django_db(transaction=True)`: a worker sees only what is committed.
    """
    # What an earlier test has sent and nobody took, and the mark that it waits.
    app.control.purge()
    REFRESH.acknowledge()
    with _worker(environment, tmp_path / "celery_worker.log", "--concurrency", "2") as name:
        yield name
    app.control.purge()


@pytest.fixture
def counts_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A real worker for long counts alone, as ``celery_worker`` for all else."""
    queue = settings.COUNTS_QUEUE
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        broker.delete(queue)
        with _worker(environment, tmp_path / "counts.log", "--queues", queue, "--pool", "solo") as name:
            yield name
        broker.delete(queue)


@contextmanager
def _worker(environment: dict[str, str], log: Path, *options: str) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}@localhost"
    command = ["celery", "--quiet", "-A", "segments_project", "worker", "--hostname", name]
    options = (*options, "--without-gossip", "--without-mingle")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *options],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=signal_on_parent_death(15),
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


def eventually(holds: Callable[[], object], within: float = 20) -> None:
    """Wait until this holds; for what another process does."""
    until = time.monotonic() + within
    while not holds():
        assert time.monotonic() < until, f"not within {within} seconds"
        time.sleep(0.05)
