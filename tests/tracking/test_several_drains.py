"""Several workers drain the inbox side by side, and messages about one id are processed in the order of receipt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from core.db.execution import execute, fetch_all
from customers.identity import drain_locks
from customers.models import Batch, Customer, Event, Identity, Order, RefusedMessage
from customers.tracking import inbox
from tests.conftest import eventually
from tests.support import shop
from tests.support.tracking_messages import identify, message, send, source, track

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def on_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("about PostgreSQL: SQLite has one writer")


@contextmanager
def in_another_transaction(act: Callable[[], object]) -> Iterator[None]:
    """Keep the locks of a function in a transaction of another connection during the block."""
    done, release = threading.Event(), threading.Event()

    def run() -> None:
        with transaction.atomic():
            act()
            done.set()
            release.wait(60)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert done.wait(60)
        yield
    finally:
        release.set()
        thread.join()


def held_by_another_drain(place: int = 0) -> Any:
    """Lock a waiting request, as a drain does that is processing it."""
    key = Batch.objects.order_by("pk").values_list("pk", flat=True)[place]
    return in_another_transaction(lambda: list(Batch.objects.select_for_update().filter(pk=key)))


def run_beside(*functions: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.usefixtures("on_postgresql")
@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (track("View", user="u1"), track("View", user=" u1 ")),
        (track("View", user="5"), track("View") | {"userId": 5}),
        (track("View", user="caf\u00e9"), track("View", user="cafe\u0301")),
        (track("View", anonymous="a1"), identify("u1", "a1")),
        (track("View", anonymous="a1"), message("alias", user="u1", previousId=" a1")),
        (identify("u1", email="ann@example.org"), identify("u2", email=" Ann@Example.org")),
        (identify("u1", email="ann@bücher.example"), identify("u2", email="ann@xn--bcher-kva.example")),
        (identify("u1", phone="+49 30 1234567"), identify("u2", phone="0049 (0)30 123-4567 ext. 12")),
        (
            track("Order Completed", user="u1", order_id="7"),
            track("Order Refunded", user="u2", orderId=7),
        ),
        (track("View", user="u1") | {"messageId": "m"}, track("View", user="u2") | {"messageId": "m"}),
    ],
    ids=[
        "spaces",
        "a number",
        "NFC",
        "a browser",
        "an alias",
        "case",
        "IDNA",
        "a phone",
        "an order",
        "a message",
    ],
)
def test_a_request_waits_for_an_earlier_one_that_names_one_of_its_ids(
    earlier: dict[str, Any], later: dict[str, Any]
) -> None:
    _, key = source()
    send(key, earlier, drain=False)
    send(key, later, drain=False)
    send(key, track("View", user="another"), drain=False)

    with held_by_another_drain():
        assert inbox.drain() == 1
        assert Batch.objects.count() == 2

    assert inbox.drain() == 2


@pytest.mark.usefixtures("on_postgresql")
def test_a_request_waits_for_one_that_waits_itself() -> None:
    _, key = source()
    for ids in ({"user": "u1"}, {"user": "u1", "anonymous": "a1"}, {"anonymous": "a1"}):
        send(key, track("View", **ids), drain=False)

    with held_by_another_drain():
        assert inbox.drain() == 0

    assert inbox.drain() == 3


@pytest.mark.usefixtures("on_postgresql")
def test_a_request_of_an_earlier_version_may_name_any_id() -> None:
    _, key = source()
    for user in ("u1", "u2", "u3"):
        send(key, track("View", user=user), drain=False)
    Batch.objects.filter(pk=Batch.objects.order_by("pk")[1].pk).update(named_ids=None)

    for place in (0, 1):
        with held_by_another_drain(place):
            assert inbox.drain() == 0

    assert inbox.drain() == 3


@pytest.mark.usefixtures("on_postgresql")
def test_a_message_that_is_tried_again_still_waits_for_others() -> None:
    _, key = source()
    send(key, track("View", user="u1"), drain=False)
    RefusedMessage.objects.create(
        source=Batch.objects.get().source,
        received_at=shop.NOON,
        call="track",
        reason="",
        message='{"userId": "u1", "event": "View"}',
    )
    inbox.retry_refused(RefusedMessage.objects.all())

    with held_by_another_drain():
        assert inbox.drain() == 0

    assert inbox.drain() == 2


@pytest.mark.usefixtures("on_postgresql")
def test_no_more_drains_run_than_are_allowed(settings: Any) -> None:
    _, key = source()
    settings.INBOX_DRAINS = 2
    for number in range(3):
        send(key, track("View", user=f"u{number}"), drain=False)

    with in_another_transaction(drain_locks.begin):
        with in_another_transaction(drain_locks.begin):
            assert inbox.drain() == 0
        assert inbox.drain() == 3


@pytest.mark.usefixtures("on_postgresql")
def test_a_drain_that_is_killed_in_the_middle_loses_nothing() -> None:
    _, key = source()
    send(key, track("View", user="u1"))
    for number in range(3):
        send(
            key, identify("u1", f"a{number}", email="ann@example.org"), track("View", user="u1"), drain=False
        )
    process: list[int] = []

    def drain_until_killed() -> None:
        [(own,)] = fetch_all("SELECT pg_backend_pid()")
        process.append(own)
        with suppress(DatabaseError):
            inbox.drain()
        connection.close()

    is_waiting = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    with in_another_transaction(lambda: list(Identity.objects.select_for_update())):
        killed = threading.Thread(target=drain_until_killed)
        killed.start()
        eventually(lambda: bool(process and fetch_all(is_waiting, process)))
        execute("SELECT pg_terminate_backend(%s)", process)
        killed.join()

    assert Batch.objects.count() == 3
    assert inbox.drain() == 6
    assert Event.objects.count() == 4
    assert Customer.objects.existing().get().email == "ann@example.org"
    shop.assert_facts_are_those_of_the_records()


def test_files_are_imported_beside_drains(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.INBOX_DRAINS = 3
    monkeypatch.setattr(inbox, "MAX_BATCHES", 2)
    _, server = source()
    _, browser = source("browser")
    for number in range(12):
        send(
            server, identify(f"c{number % 3}", f"a{number}", email=f"c{number % 3}@example.org"), drain=False
        )
        send(browser, track("View", user=f"c{number % 4}", anonymous=f"b{number % 5}"), drain=False)
        send(
            server,
            track("Order Completed", user=f"c{number % 3}", order_id=f"o{number % 4}", total=5),
            drain=False,
        )

    def drain() -> None:
        while Batch.objects.exists():
            inbox.drain()

    def import_files() -> None:
        for number in range(4):
            shop.orders(f"o{number},c{number % 3},2026-03-01,10", update_facts=False)
            shop.events(f"e{number},c{number % 4},b{number},View,2026-03-01T10:00:00Z", update_facts=False)

    run_beside(drain, drain, drain, import_files)

    shop.events("last,c1,,View,2026-03-02T10:00:00Z")
    shop.assert_facts_are_those_of_the_records()
    assert not RefusedMessage.objects.exists()
    assert Event.objects.count() == 12 + 12 + 4 + 1
    owners = dict(Order.objects.values_list("order_id", "customer__customer_id"))
    assert set(owners) == {f"o{number}" for number in range(4)}
    assert not Identity.objects.filter(kind="customer_id", is_trusted=False).exists()
    for number in range(12):
        identity = Identity.objects.get(kind="anonymous_id", value=f"a{number}")
        assert identity.customer.customer_id == f"c{number % 3}"
