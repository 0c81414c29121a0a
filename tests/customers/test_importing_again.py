"""An import that is repeated, interrupted or split into other batches leads to the same records."""

import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.db import transaction
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from customers.facts import update
from customers.imports import csv_files
from customers.imports.import_report import ImportReport
from customers.models import Order
from customers.rows.settings import shop_settings
from tests.conftest import eventually
from tests.support import shop

ORDER_HEADER = "order_id,customer_id,placed_at,total"
FILES = (
    ("customers", "customer_id,email,tier", [f"c{n},c{n}@example.org,{n}" for n in range(5)]),
    ("orders", ORDER_HEADER, [f"o{n},c{n % 7},2026-03-{n + 1:02},{n}.5" for n in range(20)]),
    ("order_lines", "order_id,sku,quantity", [f"o{n % 9},s{n % 2},{n}" for n in range(30)]),
    (
        "events",
        "message_id,customer_id,anonymous_id,event,occurred_at",
        [f"m{n},{'' if n % 3 else f'c{n % 7}'},a{n % 7},View,2026-03-{n + 1:02}" for n in range(28)],
    ),
)


class Interrupted(Exception):
    """Something ends the import."""


def import_everything() -> None:
    for kind, header, rows in FILES:
        assert not shop.import_rows(kind, *rows, header=header).refused


@pytest.mark.django_db
def test_the_same_files_imported_again_leave_the_same_database() -> None:
    import_everything()
    before = shop.records()

    import_everything()

    assert shop.records() == before
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.django_db
@pytest.mark.parametrize("interrupted", range(4), ids=[kind for kind, _, _ in FILES])
def test_an_interrupted_import_that_runs_again_ends_like_an_uninterrupted_one(
    interrupted, monkeypatch
) -> None:
    monkeypatch.setattr(csv_files, "ROWS_BATCH_SIZE", 4)

    def interrupt(report: ImportReport) -> None:
        if report.read == 8:
            raise Interrupted

    with time_machine.travel(shop.NOON, tick=False):
        for kind, header, rows in FILES[:interrupted]:
            shop.import_rows(kind, *rows, header=header)
        kind, header, rows = FILES[interrupted]
        if len(rows) > 8:
            with pytest.raises(Interrupted):
                shop.import_rows(kind, *rows, header=header, progress=interrupt)
            assert update.is_refresh_due(shop.NOON)
        import_everything()
        twice = shop.comparable_records()
        shop.delete_everything()
        import_everything()

    assert shop.comparable_records() == twice
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.django_db
def test_an_interrupted_import_leaves_whole_batches_and_the_next_update_includes_their_facts(
    monkeypatch,
) -> None:
    monkeypatch.setattr(csv_files, "ROWS_BATCH_SIZE", 5)
    rows = iter(range(100))

    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            number = next(rows)
            if number == 8:
                raise Interrupted
            return f"o{number},c1,2026-03-01,1\n".encode() if number else f"{ORDER_HEADER}\n".encode()

    with pytest.raises(Interrupted):
        csv_files.import_file(csv_files.FORMATS["orders"], Broken(), shop_settings())

    assert Order.objects.count() == 5
    assert update.update_facts() == 1
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.django_db(transaction=True)
def test_a_killed_import_leaves_whole_batches_and_can_be_run_again(environment, tmp_path: Path) -> None:
    rows = [f"o{n},c{n % 50},2026-03-01,{n % 100}.25" for n in range(csv_files.ROWS_BATCH_SIZE + 500)]
    pipe = tmp_path / "orders.csv"
    os.mkfifo(pipe)
    importing = subprocess.Popen(
        [sys.executable, "manage.py", "import_csv", "orders", pipe],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        with pipe.open("w") as file:
            file.write("\n".join([ORDER_HEADER, *rows, ""]))
            file.flush()
            eventually(lambda: importing.poll() is not None or Order.objects.exists(), within=60)
            importing.kill()
            importing.wait()
    finally:
        importing.kill()
        importing.wait()

    assert Order.objects.count() == csv_files.ROWS_BATCH_SIZE

    done = shop.import_rows("orders", *rows, header=ORDER_HEADER)

    assert done.counts == (len(rows), 500, csv_files.ROWS_BATCH_SIZE, 0)
    assert Order.objects.count() == len(rows)
    shop.assert_facts_are_those_of_the_records()


def one_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


CUSTOMER_IDS = one_of("", "c1", "c2", "c3")
TIMES = one_of("", "2026-03-01T10:00:00Z", "2026-03-01T10:20:00Z", "2026-03-02T10:00:00Z")
PROPERTIES = one_of("", "{}", '{"price": 2, "sku": "x"}', '{"products": [{"sku": "y"}]}')
ROWS = {
    "customers": st.tuples(one_of("c1", "c2"), one_of("", "a@example.org"), one_of("", "7", "gold")),
    "orders": st.tuples(one_of("o1", "o2"), CUSTOMER_IDS, TIMES, one_of("", "cancelled"), one_of("", "5")),
    "order_lines": st.tuples(
        one_of("o1", "o2", "o9"), one_of("", "x"), one_of("", "1", "2"), one_of("", "3")
    ),
    "events": st.tuples(
        *(one_of("m1", "m2", "m3"), CUSTOMER_IDS, one_of("", "a1", "a2")),
        *(one_of("", "View", "Product Added"), TIMES, PROPERTIES),
    ),
}
COLUMNS = {
    "customers": "customer_id,email,tier",
    "orders": "order_id,customer_id,placed_at,status,total",
    "order_lines": "order_id,sku,line_id,quantity",
    "events": shop.HEADERS["events"],
}
SOME_FILES = st.lists(
    one_of("events", "events", *ROWS).flatmap(
        lambda kind: st.tuples(st.just(kind), st.lists(ROWS[kind], min_size=1, max_size=8))
    ),
    min_size=1,
    max_size=4,
)


def bring_in(files: list[tuple[str, list[tuple[str, ...]]]], rows_at_once: int) -> object:
    """Import files in batches of a size; give what was said and what there is then, and undo it."""
    with pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(csv_files, "ROWS_BATCH_SIZE", rows_at_once)
        with time_machine.travel(datetime(2026, 4, 1, tzinfo=UTC), tick=False):
            done = [shop.import_rows(kind, *rows, header=COLUMNS[kind]) for kind, rows in files]
        shop.assert_facts_are_those_of_the_records()
        there_is = shop.comparable_records()
        transaction.set_rollback(True)
    return [(one.counts, one.lines) for one in done], there_is


@pytest.mark.django_db
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(SOME_FILES, st.sampled_from([2, 3, 100]))
@example(
    [
        (
            "events",
            [
                ("m1", "c1", "a1", "View", "2026-03-01T10:20:00Z", ""),
                ("m1", "", "", "", "2026-03-01T10:00:00Z", ""),
                ("m3", "c2", "a1", "View", "2026-03-01T10:00:00Z", "{}"),
            ],
        )
    ],
    3,
)
def test_a_batch_of_rows_is_the_same_as_its_rows_one_by_one(files, rows_at_once) -> None:
    assert bring_in(files, rows_at_once) == bring_in(files, 1)


@pytest.mark.django_db
def test_many_of_the_largest_orders_can_be_added_up() -> None:
    largest = "9999999999.9999"
    shop.orders(*(f"o{number},c1,2026-03-01,{largest}" for number in range(5_000)))

    shop.assert_facts_are_those_of_the_records()
