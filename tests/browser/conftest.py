"""Fixtures of browser tests: pages of a served shop, checked for errors, and accessibility checks with axe."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, Page

from tests.support import accessibility, chromium
from tests.support.installation import Installation, installation

CUSTOMERS = 150


# For the package, not the session: while Playwright runs, Django believes to be in asynchronous code, where it
# refuses to ask the database.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser of this process."""
    if not chromium.executable():
        pytest.skip("there is no chromium on PATH, and CHROMIUM names none")
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="package")
def shop(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A served shop with data of every kind, shared by all browser tests of this process."""
    folder = tmp_path_factory.mktemp("shop")
    with (
        empty_database(folder) as database_url,
        installation(database_url, os.environ["REDIS_URL"], folder, CUSTOMERS) as served,
    ):
        yield served


@pytest.fixture
def visit(browser: Browser, shop: Installation) -> Iterator[Callable[[str], Page]]:
    """Return a function that opens a page as a member of staff, or without a login (``""``).

    The test fails where a script fails, something is not there, or another host is asked.
    """
    complaints: list[list[str]] = []
    with ExitStack() as contexts:

        def open_for(who: str) -> Page:
            context = chromium.context(browser, shop.url, shop.sessions.get(who, ""))
            page = contexts.enter_context(context).new_page()
            complaints.append(chromium.complaints_about(page, shop.url))
            return page

        yield open_for
    assert not list(chain.from_iterable(complaints))


@pytest.fixture
def page(visit: Callable[[str], Page]) -> Page:
    """A page opened by a superuser."""
    return visit("admin")


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Check the accessibility of a page in every theme and width. The page stays narrow and dark."""
    return accessibility.assert_accessible


@contextmanager
def empty_database(folder: Path, name: str = "test_browser") -> Iterator[str]:
    """The URL of an empty database of the tested kind."""
    url = urlsplit(os.environ["DATABASE_URL"])
    if url.scheme == "sqlite":
        yield f"sqlite:///{folder}/shop.sqlite3"
        return
    name = f"{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}"
    with psycopg.connect(url.geturl(), autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield url._replace(path=f"/{name}").geturl()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
