"""Statements of background work that take too long are taken again in smaller parts, and end with who asked them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.db import execution
from customers.facts import update
from customers.models import Facts, Order
from customers.tracking import inbox
from segments.models import Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from segments_project.server.bundled_servers import signal_on_parent_death

from .conftest import eventually
from .support import shop
from .support.tracking_messages import send, source, track

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgresql" not in connection.settings_dict["ENGINE"],
        reason="statements of SQLite do not depend on what a planner was told, and die with their process",
    ),
]

MANY = 1_200
NO_TIME = 0.002  # seconds: less than a statement about so many takes


def test_an_import_its_facts_and_its_refresh_are_processed_in_smaller_batches(settings) -> None:
    shop.segment("buyers", {"order_count": {"at_least": 1}})
    shop.segment("rich", {"total_spent": {"above": "average"}})
    settings.STATEMENT_LIMIT = NO_TIME

    with CaptureQueriesContext(connection) as ran:
        done = shop.orders(*(f"o{n},c{n},2026-03-01,{n}" for n in range(MANY)), update_facts=False)
        update.update_facts()
        refresh_all()

    told = [one["sql"] for one in ran if one["sql"]]
    assert done.counts == (MANY, MANY, 0, 0)
    assert any("INSERT INTO evaluation_batch" in sql for sql in told)
    assert sum(sql.startswith("INSERT INTO facts_selected") for sql in told) > 1 + MANY // 1_000
    assert Order.objects.count() == Facts.objects.filter(order_count=1).count() == MANY
    assert {one.slug: one.size for one in Segment.objects.all()} == {"buyers": MANY, "rich": MANY // 2}
    assert all(verdict.is_correct for verdict in verification.verify(Segment.objects.all()))


def test_messages_are_processed_in_smaller_batches(settings) -> None:
    _, key = source()
    for number in range(4):
        send(key, *(track("View", user=f"u{number}-{n}") for n in range(100)), drain=False)
    settings.STATEMENT_LIMIT = 0.001

    assert inbox.drain() == 400
    assert Facts.objects.filter(event_count=1).count() == 400


def test_the_statement_of_a_killed_worker_ends_with_it(environment) -> None:
    sleep = "from django.db import connection; connection.cursor().execute('SELECT pg_sleep(600), 4711')"
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", sleep],
        cwd=django_settings.BASE_DIR,
        env=environment,
        preexec_fn=signal_on_parent_death(9),
    )

    def is_running() -> bool:
        [(count,)] = execution.fetch_all(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"
            " AND state = 'active'",
            ["%4711%"],
        )
        return bool(count)

    eventually(is_running)
    worker.kill()
    worker.wait()

    eventually(lambda: not is_running(), within=15)
