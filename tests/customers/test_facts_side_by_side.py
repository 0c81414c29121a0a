"""On PostgreSQL, several processes update the facts of a long queue side by side, as exactly as one."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pytest
import time_machine
from django.db import OperationalError, connection, transaction

from customers.facts import relations, update
from customers.models import Facts, FactsAsOf, Upcoming
from segments.models import Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from tests.conftest import eventually, is_cluster
from tests.support import shop
from tests.support.shop import NOON
from tests.support.statement_recorder import record_statements

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOMERS = 60
SETTLERS = 4
SECONDS = 4.0


@pytest.fixture(autouse=True)
def short_batches(monkeypatch) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    monkeypatch.setattr(update, "UPDATE_BATCH_SIZE", 5)
    monkeypatch.setattr(update, "MIN_UPDATE_BATCH_SIZE", 5)


class Workers:
    """Threads with a connection each, and what their work raised."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.errors.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()
        return thread

    def repeat(self, work: Callable[[], object]) -> None:
        def run() -> None:
            while not self.ended.is_set():
                work()

        self.start(run)


@pytest.fixture
def workers() -> Iterator[Workers]:
    group = Workers()
    yield group
    group.ended.set()
    for thread in group.threads:
        thread.join()


def assert_all_is_exact() -> None:
    shop.assert_facts_are_those_of_the_records()
    shop.assert_totals_are_those_of_the_facts()
    assert all(verdict.is_correct for verdict in verification.verify(Segment.objects.all()))


def feed(chance: random.Random, numbers: Iterator[int]) -> None:
    """Record what happens in a shop, with late records, records dated a moment ahead, and visitors who sign in."""
    now = datetime.now(UTC)

    def moment() -> str:
        return (now + timedelta(seconds=chance.choice([0, 0, 0, -60, 0.2, 1]))).isoformat()

    events = []
    for number in [next(numbers) for _ in range(20)]:
        person, visitor = chance.randrange(CUSTOMERS), chance.randrange(3 * CUSTOMERS)
        ids = chance.choice(
            [f"c{person},", f"c{person},", f",a{visitor}", f"c{visitor % CUSTOMERS},a{visitor}"]
        )
        events.append(f"m{number},{ids},{chance.choice(['View', 'Product Added'])},{moment()}")
    shop.events(*events, update_facts=False)
    shop.orders(
        *(
            f"o{next(numbers) % 400},c{chance.randrange(CUSTOMERS)},{moment()},{chance.randrange(99)},"
            + chance.choice(["paid", "paid", "cancelled"])
            for _ in range(10)
        ),
        header="order_id,customer_id,placed_at,total,status",
        update_facts=False,
    )


def test_settlers_writers_and_a_refresh_at_once_leave_exact_facts_and_members(workers) -> None:
    shop.segment("spenders", {"total_spent": {"above": "average"}})
    shop.segment("busy", {"event_count": {"at_least": 20}})
    shop.segment("carts", {"open_cart": {"within_last": "1h"}})
    chance, numbers = random.Random(20260315), count()
    feed(chance, numbers)
    for _ in range(SETTLERS):
        workers.repeat(update.update_facts)
    workers.repeat(refresh_all)
    for seed in range(2):
        workers.repeat(partial(feed, random.Random(seed), numbers))
    workers.ended.wait(SECONDS)
    workers.ended.set()
    for thread in workers.threads:
        thread.join()

    assert not workers.errors
    update.update_facts()
    eventually(lambda: not Upcoming.objects.filter(due_at__gt=datetime.now(UTC)).exists())
    refresh_all()
    assert_all_is_exact()
    stored = list(Facts.objects.order_by("pk").values())
    update.recompute_all()
    assert list(Facts.objects.order_by("pk").values()) == stored


@pytest.fixture
def on_one_machine(request) -> None:
    if is_cluster(request.config):
        pytest.skip("on a cluster, the locks of customers are on the machines of their shards")


@contextmanager
def settler_held_at(customer: str, workers: Workers) -> Iterator[int]:
    """Let one settler wait in the middle of the customer's part. Yield the process id of its connection."""
    ids: list[int] = []

    def settle() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            ids.extend(cursor.fetchone())
        update.update_facts()

    def is_waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = ANY(%s) AND NOT granted", [ids])
            return cursor.fetchone() == (1,)

    with transaction.atomic():
        list(Facts.objects.select_for_update().filter(customer__customer_id=customer))
        workers.start(settle)
        eventually(is_waiting, within=60)
        yield ids[0]


def shop_with_a_long_queue() -> None:
    shop.orders(*(f"o{n},c{n},2026-03-01,10" for n in range(CUSTOMERS)))
    shop.orders(*(f"p{n},c{n},2026-03-02,20" for n in range(CUSTOMERS)), update_facts=False)


def count_updated() -> int:
    return Facts.objects.filter(order_count=2).count()


@pytest.mark.usefixtures("on_one_machine")
def test_a_settler_updates_all_parts_that_another_one_does_not_hold_and_then_waits(workers) -> None:
    shop_with_a_long_queue()

    with settler_held_at("c7", workers):
        second = workers.start(update.update_facts)
        eventually(lambda: count_updated() >= CUSTOMERS - 10, within=60)
        assert second.is_alive()
        assert update.is_update_due(NOON)
    for thread in workers.threads:
        thread.join()

    assert not workers.errors
    assert count_updated() == CUSTOMERS
    assert_all_is_exact()


@pytest.mark.usefixtures("on_one_machine")
def test_the_part_of_a_settler_that_is_killed_is_updated_by_the_next_one(workers) -> None:
    shop_with_a_long_queue()

    with settler_held_at("c7", workers) as killed:
        workers.start(update.update_facts)
        eventually(lambda: count_updated() >= CUSTOMERS - 10, within=60)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [killed])
    for thread in workers.threads:
        thread.join()

    [error] = workers.errors
    assert isinstance(error, OperationalError)
    assert count_updated() == CUSTOMERS
    assert_all_is_exact()


def test_nobody_writes_facts_beside_a_customer_who_is_erased(workers) -> None:
    shop_with_a_long_queue()

    with update.lock_facts():
        settler = workers.start(update.update_facts)
        settler.join(0.5)
        assert settler.is_alive()
        assert count_updated() == 0
    settler.join()

    assert not workers.errors
    assert count_updated() == CUSTOMERS


@pytest.mark.usefixtures("on_one_machine")
def test_a_new_visitor_who_becomes_a_customer_during_the_update_gets_facts(workers) -> None:
    shop.orders("o1,c7,2026-03-01,10")
    shop.events("m1,c7,,View,2026-03-02", "m2,,a1,View,2026-03-02", update_facts=False)

    with settler_held_at("c7", workers):
        shop.events("m3,new,a1,Signed In,2026-03-03", update_facts=False)
    for thread in workers.threads:
        thread.join()

    assert not workers.errors
    update.update_facts()
    assert_all_is_exact()


def test_records_that_come_due_between_the_instants_of_two_parts_are_in_the_facts() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        for name, at in (("now", NOON), ("ahead", NOON + timedelta(minutes=30))):
            rows = [f"{name}{n},c{n},{at.isoformat()},10" for n in range(CUSTOMERS)]
            shop.orders(*rows, update_facts=False)

        update.update_facts(progress=lambda _: clock.move_to(NOON + timedelta(hours=1)))

        assert count_updated() == CUSTOMERS
        assert_all_is_exact()


def test_an_update_that_ended_in_the_middle_leaves_facts_that_can_be_asked_for_at_any_instant() -> None:
    def crash(_: int) -> None:
        raise RuntimeError

    shop.orders(*(f"o{n},c{n},2026-03-01,10" for n in range(CUSTOMERS)))
    ahead = datetime.now(UTC) + timedelta(hours=1)
    shop.orders(*(f"p{n},c{n},{ahead.isoformat()},20" for n in range(CUSTOMERS)))

    with pytest.raises(RuntimeError):
        update.update_facts(ahead + timedelta(hours=1), crash)

    assert 0 < count_updated() < CUSTOMERS
    assert relations.prepare_relation(ahead + timedelta(minutes=1)) == "facts_as_of"
    assert FactsAsOf.objects.filter(order_count=2).count() == CUSTOMERS


def test_statements_about_parts_keep_the_rules() -> None:
    shop_with_a_long_queue()
    with record_statements():
        assert update.update_facts() == CUSTOMERS
    assert_all_is_exact()
