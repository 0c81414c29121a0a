"""``distribute`` on a database that has customers: nothing is lost, and work goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from psycopg.sql import SQL, Identifier

from segments_project.distribution import LAYOUT

SCHEMA = "filled"  # of its own, because the tables of the tests are distributed already
ORDERS = "order_id,customer_id,placed_at,total"


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[psycopg.Connection]:
    options = f"-c search_path={SCHEMA}"
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True, options=options) as server:
        server.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        server.execute(f"CREATE SCHEMA {SCHEMA}")
        yield server
        server.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@pytest.fixture
def variables(environment: dict[str, str]) -> dict[str, str]:
    options = quote(f"-c jit=off -c citus.local_table_join_policy=prefer-local -c search_path={SCHEMA}")
    return environment | {"DATABASE_URL": f"{environment['DATABASE_URL']}?options={options}"}


def numbers_of_rows(server: psycopg.Connection) -> dict[str, int]:
    counts = {}
    for table in LAYOUT.distributed:
        found = server.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table))).fetchone()
        assert found
        counts[table] = found[0]
    return counts


def test_a_filled_database_is_distributed_and_works_on(
    server: psycopg.Connection, variables: dict[str, str], tmp_path: Path
) -> None:
    def manage(*arguments: object) -> str:
        command = [sys.executable, "manage.py", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manage("demo", "--no-serve", "--customers", 200)
    before = numbers_of_rows(server)
    [(public_id,)] = server.execute(
        "SELECT customer_id FROM customers_customer WHERE email <> '' AND merged_into_id IS NULL LIMIT 1"
    ).fetchall()

    done = manage("distribute").splitlines()

    assert {f"{table} is distributed by {column}." for table, column in LAYOUT.distributed.items()} <= {*done}
    assert numbers_of_rows(server) == before
    assert manage("distribute") == "There was nothing to do.\n"
    assert manage("distribute", "--check") == "Nothing is missing.\n"

    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    orders = tmp_path / "orders.csv"
    orders.write_text(f"{ORDERS}\nn1,{public_id},{an_hour_ago},5000\nn2,newcomer,{an_hour_ago},50\n")
    manage("import_csv", "orders", orders)
    manage("refresh_segments")

    assert numbers_of_rows(server)["customers_order"] == before["customers_order"] + 2
    assert "newcomer" in manage("members", "first-order")
    verdicts = manage("verify_segments").splitlines()
    assert verdicts
    assert all(": right, " in verdict for verdict in verdicts)
