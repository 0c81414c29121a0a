"""PostgreSQL's planner has current statistics of a temporary table when a statement joins it."""

from __future__ import annotations

from contextlib import nullcontext, suppress

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from core.db import execution, temporary_tables
from customers.facts import update
from segments.refresh.engine import refresh_all
from tests.support import shop

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgresql" not in connection.settings_dict["ENGINE"],
        reason="SQLite keeps no statistics of temporary tables",
    ),
]

MANY = 300


class TakenBack(Exception):
    """What a transaction did is undone."""


def rows_expected(sql: str) -> int:
    """Ask the planner how many rows it expects."""
    [(told,)] = execution.fetch_all(f"EXPLAIN (FORMAT json) {sql}")
    return int(told[0]["Plan"]["Plan Rows"])


def join(table: str) -> None:
    execution.fetch_all(f"SELECT count(*) FROM customers_customer c JOIN {table} t ON t.customer_id = c.id")


def test_past_orders_are_selected_with_current_planner_statistics() -> None:
    shop.segment("buyers", {"order_count": {"at_least": 2}})
    shop.orders(*(f"later{n},c{n},2026-03-02,10" for n in range(MANY)))
    refresh_all()
    shop.orders(*(f"past{n},c{n},2026-03-01,10" for n in range(MANY)), update_facts=False)

    with CaptureQueriesContext(connection) as ran:
        update.update_facts()

    told = [" ".join(one["sql"].split()) for one in ran if "facts_selected" in one["sql"]]
    chosen = max(n for n, sql in enumerate(told) if sql.startswith("UPDATE facts_selected"))
    summed = next(n for n, sql in enumerate(told) if sql.startswith("INSERT INTO customers_facts "))
    assert "ANALYZE facts_selected" in told[chosen:summed]
    assert rows_expected("SELECT * FROM facts_selected WHERE recompute = 1") == MANY


@pytest.mark.parametrize("written", ["INSERT", "COPY"])
def test_a_table_is_analyzed_after_each_change_and_only_then(written: str) -> None:
    temporary_tables.create_temporary_table("looked_at", "customer_id bigint PRIMARY KEY, kind integer")
    if written == "INSERT":
        execution.execute(f"INSERT INTO looked_at SELECT n, 0 FROM generate_series(1, {MANY}) AS n")
    else:
        temporary_tables.load_rows("looked_at", ("customer_id", "kind"), ((n, 0) for n in range(MANY)))
    join("looked_at")
    assert rows_expected("SELECT * FROM looked_at WHERE kind = 1") == 1

    execution.execute("UPDATE looked_at SET kind = 1")
    join("looked_at")
    assert rows_expected("SELECT * FROM looked_at WHERE kind = 1") == MANY

    with CaptureQueriesContext(connection) as ran:
        join("looked_at")
    assert len(ran) == 1


def test_tables_are_analyzed_again_after_a_rollback() -> None:
    temporary_tables.create_temporary_table("looked_at", "customer_id bigint PRIMARY KEY, kind integer")
    execution.execute(f"INSERT INTO looked_at SELECT n, 0 FROM generate_series(1, {MANY}) AS n")
    with transaction.atomic():
        with suppress(TakenBack), transaction.atomic():
            execution.execute("UPDATE looked_at SET kind = 1")
            join("looked_at")
            raise TakenBack
        join("looked_at")
        assert rows_expected("SELECT * FROM looked_at WHERE kind = 0") == MANY


def test_a_table_dropped_by_a_rollback_causes_no_error() -> None:
    with suppress(TakenBack), transaction.atomic():
        temporary_tables.create_temporary_table("gone", "customer_id bigint PRIMARY KEY")
        execution.execute(f"INSERT INTO gone SELECT n FROM generate_series(1, {MANY}) AS n")
        raise TakenBack
    with transaction.atomic():
        [(count,)] = execution.fetch_all(
            "SELECT count(*) FROM customers_customer c JOIN (SELECT 1 AS id) AS one ON one.id = c.id"
            " LEFT JOIN (SELECT 2 AS id) gone ON gone.id = c.id"
        )
    assert count == 0


def test_few_rows_that_are_joined_with_a_large_table_are_analyzed_once_they_are_there() -> None:
    shop.segment("buyers", {"order_count": {"at_least": 1}})
    shop.orders("o1,c1,2026-03-01,10")
    refresh_all()
    for number in (2, 3):  # the tables are emptied and filled again
        shop.orders(f"o{number},c{number},2026-03-02,10", update_facts=False)

        with CaptureQueriesContext(connection) as ran:
            refresh_all()

        told = [one["sql"].partition(" (")[0] for one in ran if one["sql"].startswith("ANALYZE")]
        assert sorted(told) == ["ANALYZE candidates", "ANALYZE differences", "ANALYZE facts_selected"]
        for table in ("facts_selected", "candidates", "differences"):
            assert rows_expected(f"SELECT * FROM {table}") == 1

    with CaptureQueriesContext(connection) as ran:
        refresh_all()
    assert not any(one["sql"].startswith("ANALYZE") for one in ran)


def create_and_fill() -> list[str]:
    """Create a table and fill it. Return the statements."""
    with CaptureQueriesContext(connection) as ran:
        temporary_tables.create_temporary_table("used_again", "customer_id bigint PRIMARY KEY")
        execution.execute("INSERT INTO used_again VALUES (1)")
    return [one["sql"].split()[0] for one in ran]


def test_a_table_is_created_once_and_emptied_only_after_it_was_filled() -> None:
    with suppress(TakenBack), transaction.atomic():
        create_and_fill()
        raise TakenBack

    assert create_and_fill() == ["CREATE", "TRUNCATE", "INSERT"]
    assert create_and_fill() == ["TRUNCATE", "INSERT"]
    temporary_tables.empty_table("used_again")
    assert create_and_fill() == ["INSERT"]
    execution.execute("DROP TABLE used_again")
    assert create_and_fill() == ["CREATE", "TRUNCATE", "INSERT"]


@pytest.mark.parametrize("is_nested", [False, True], ids=["transaction", "savepoint"])
def test_a_table_is_created_and_emptied_again_after_a_rollback(*, is_nested: bool) -> None:
    create_and_fill()
    with transaction.atomic() if is_nested else nullcontext():
        with suppress(TakenBack), transaction.atomic():
            temporary_tables.empty_table("used_again")
            raise TakenBack
        assert create_and_fill() == ["CREATE", "TRUNCATE", "INSERT"]
    connection.close()
    assert create_and_fill() == ["CREATE", "TRUNCATE", "INSERT"]


def test_a_table_that_another_part_of_a_statement_fills_is_emptied() -> None:
    create_and_fill()
    temporary_tables.empty_table("used_again")
    execution.fetch_all(
        "WITH w AS (INSERT INTO used_again VALUES (1) RETURNING 1) SELECT 1 FROM w WHERE false"
    )
    assert create_and_fill() == ["TRUNCATE", "INSERT"]
