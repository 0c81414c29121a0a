"""A database of an earlier version is upgraded by ``migrate``, and its members are right before and after news."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from .databases import DUMPS, SECRET_KEY, empty_database, is_sqlite, restore

COUNTS = """
import json
from django.apps import apps
from django.db.migrations.executor import MigrationExecutor
from django.db import connection
from segments.models import Segment, Membership
from campaigns.messages import rendering
from campaigns.models import Step
plan = MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes())
print(json.dumps({
    "unapplied": [str(migration) for migration, _ in plan],
    "rows": {name: apps.get_model(name).objects.count() for name in (
        "customers.Customer", "customers.Order", "customers.OrderLine", "customers.Event", "customers.Identity",
        "customers.RecordKey", "segments.Change", "campaigns.Campaign", "campaigns.Delivery")},
    "sizes": dict(Segment.objects.values_list("slug", "size")),
    "members": Membership.objects.count(),
    "texts": list(Step.objects.order_by("pk").values_list("text", flat=True)),
    "problems": [problem for step in Step.objects.all() for problem in rendering.problem_texts(step)],
}))
"""
NEWS = """
from datetime import UTC, datetime, timedelta
from customers.ingestion import writer
from customers.models import Event, Order
from customers.rows.kinds import EVENTS, ORDERS
from customers.rows.settings import shop_settings
from segments.refresh.engine import refresh_all
now = datetime.now(UTC)
order = Order.objects.order_by("pk").first()
event = Event.objects.filter(is_from_browser=False).order_by("pk").first()
rows = {
    ORDERS: [{"order_id": order.order_id, "status": "cancelled"}, {
        "order_id": "new-order", "customer_id": "new-customer", "placed_at": now.isoformat(), "total": "10"}],
    EVENTS: [{"message_id": event.message_id, "properties": "{}"}, {
        "message_id": "new-message", "customer_id": "new-customer", "event": "View", "occurred_at": now.isoformat()}],
}
for kind, given in rows.items():
    outcome = writer.ingest(kind, ((n, kind.read(row, shop_settings())) for n, row in enumerate(given)))
    assert (outcome.created, outcome.updated) == (1, 1), outcome
refresh_all()
"""


def dumps() -> list[str]:
    kind = "sqlite" if is_sqlite(os.environ["DATABASE_URL"]) else "postgresql"
    return sorted(path.name for path in DUMPS.glob(f"*.{kind}.sql.gz"))


class Database:
    """A restored database, and the commands of this version."""

    def __init__(self, url: str) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "SECRET_KEY": SECRET_KEY,
            "LOG_LEVEL": "WARNING",
        }

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads(self.manage("shell", "-v0", "--command", COUNTS).splitlines()[-1])
        return counts


@pytest.fixture(params=dumps())
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    server_url = urlsplit(os.environ["DATABASE_URL"]).geturl()
    with empty_database(server_url, tmp_path) as url:
        restore(DUMPS / request.param, url)
        yield Database(url)


def test_there_is_a_dump_for_this_database() -> None:
    assert dumps()


def test_an_earlier_database_is_upgraded_with_its_members(database: Database) -> None:
    before = {}
    database.manage("migrate", "--no-input", "-v0")
    before = database.counts()

    assert before["unapplied"] == []
    assert before["members"] == sum(before["sizes"].values()) > 0
    assert all(before["rows"].values()), before["rows"]
    assert before["problems"] == []
    assert before["texts"][0].startswith('Dear {{ customer.first_name | default: "guest" }},')
    database.manage("verify_segments")

    database.manage("shell", "-v0", "--command", NEWS)
    database.manage("verify_segments")
    after = database.counts()
    assert after["rows"]["customers.Customer"] == before["rows"]["customers.Customer"] + 1
    assert after["rows"]["customers.Event"] == before["rows"]["customers.Event"] + 1
