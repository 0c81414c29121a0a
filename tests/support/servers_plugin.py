"""Starts the servers the tests need, before Django reads its settings; given to pytest with `-p`."""

import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from segments_project.redis_url import redis_url_with_database
from segments_project.server.bundled_servers import postgres_server, redis_server

# What a developer has set for a shop of their own must not change what the tests find.
OF_A_SHOP = [
    "ALLOWED_HOSTS",
    "ANYMAIL",
    "API_RATES",
    "BEHIND_HTTPS_PROXY",
    "CAMPAIGN_CREDIT_DAYS",
    "CAMPAIGN_LEASE",
    "CAMPAIGN_MESSAGES_A_WEEK",
    "CAMPAIGN_MESSAGES_VALID_FOR",
    "COUPONS_UNCONFIRMED_AN_HOUR",
    "DEBUG",
    "DEFAULT_FROM_EMAIL",
    "EMAIL_BACKEND",
    "EMAIL_TIMEOUT",
    "EMAIL_URL",
    "INBOX_DRAINS",
    "LOG_JSON",
    "LOG_LEVEL",
    "PUBLIC_URL",
    "PRODUCT_HOSTS",
    "SHOP_ADDRESS",
    "SHOP_LOGO",
    "SHOP_COLOUR",
    "SHOP_CURRENCY",
    "SHOP_NAME",
    "SHOP_URL",
    "STATEMENT_LIMIT",
    "TIME_ZONE",
    "VISITOR_ORIGINS",
    "WEBHOOK_ALLOWED_NETWORKS",
    "WEBHOOK_LOG_KEPT_FOR",
]

# What looks into a table while a test's transaction fills it finds nothing there, and tells the planner so, who then
# takes minutes. What tests leave behind is cleared away between their modules (conftest.py).
UNDISTURBED = {
    "autovacuum": "off",
    # A long law makes its temporary tables hundreds of times in one transaction, which locks each until its end.
    "max_locks_per_transaction": "1024",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql", "cluster"],
        default="cluster" if os.environ.get("CLUSTER_URL") else "sqlite",
        help="the engine to test on; it is started here unless DATABASE_URL names one, or, for the database of a "
        "distributed PostgreSQL, CLUSTER_URL (default: cluster if CLUSTER_URL is set, else sqlite)",
    )


# A wrapper goes before everybody else's hook, so before the one of pytest-django that reads the settings.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    options = parser.parse_known_args(args)
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        # The servers are those of the process that started us; the Redis database is our own.
        number = 1 + int(worker.removeprefix("gw"))
        os.environ["REDIS_URL"] = redis_url_with_database(os.environ["REDIS_URL"], number)
    elif not (options.help or options.version):
        stack = ExitStack()
        early_config.add_cleanup(stack.close)
        _start_servers(stack, options.database)
    return (yield)


def pytest_report_header(config: pytest.Config) -> str:
    return f"servers: {config.getoption('--database')}, redis"


def _start_servers(stack: ExitStack, engine: str) -> None:
    for name in OF_A_SHOP:
        os.environ.pop(name, None)
    os.environ["SECRET_KEY"] = "for the tests only"
    # All tests are one stranger at one address; those about limits set their own.
    os.environ["API_RATES"] = "guesses=0,strangers=0,costly=0,browsers=0"

    if engine == "cluster":
        if not (url := os.environ.get("CLUSTER_URL")):
            raise pytest.UsageError("CLUSTER_URL is not set")
        os.environ["DATABASE_URL"] = url
    elif given := os.environ.get("DATABASE_URL"):
        if not given.startswith(engine[:6]):  # PostgreSQL has two spellings
            raise pytest.UsageError(f"DATABASE_URL is set, and is not {engine}")
    elif engine == "postgresql":
        os.environ["DATABASE_URL"] = stack.enter_context(postgres_server(options=UNDISTURBED)).url
    else:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="segments-tests-", ignore_cleanup_errors=True)
        )
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/shop.sqlite3"

    if not os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = stack.enter_context(redis_server()).url
