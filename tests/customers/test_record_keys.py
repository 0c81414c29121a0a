"""An id of an order or event belongs to one record, whoever writes it, and whoever it belongs to."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import connection, transaction

from customers.identity import lookup
from customers.models import Event, EventProduct, Order, OrderLine, RecordKey
from customers.privacy import personal_data
from customers.tracking import inbox
from tests.support import shop
from tests.support.tracking_messages import send, source, track

pytestmark = pytest.mark.django_db

ROUNDS = 10
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def send_event(customer: str, at: str = "2026-03-01T10:00:00Z", properties: str = "") -> shop.Imported:
    return shop.import_rows("events", ["m1", customer, "", "View", at, properties])


def stored_keys() -> list[tuple[int, str, int, datetime]]:
    return list(RecordKey.objects.order_by("kind", "value").values_list("kind", "value", "record", "at"))


# -- One writer after the other


def test_an_event_sent_again_moves_to_its_new_customer_and_time() -> None:
    send_event("c1", properties='{"products": [{"sku": "x"}]}')
    [key] = Event.objects.values_list("pk", flat=True)

    again = send_event("c2", "2026-05-01T10:00:00Z")

    assert again.counts == (1, 0, 1, 0)
    event = Event.objects.get()
    assert (event.pk, event.customer.customer_id) == (key, "c2")
    assert EventProduct.objects.get().customer == event.customer
    assert stored_keys() == [(RecordKey.Kind.MESSAGE, "m1", key, datetime(2026, 5, 1, 10, tzinfo=UTC))]
    assert send_event("c1", "2026-03-01T10:00:00Z").counts == (1, 0, 1, 0)
    shop.assert_facts_are_those_of_the_records()


def test_an_order_sent_again_moves_with_its_lines() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.import_rows(
        "order_lines", "o1,sku-1,Shoe,,,1,10", header="order_id,sku,name,category,brand,quantity,price"
    )

    assert shop.orders("o1,c2,2026-04-01,12").counts == (1, 0, 1, 0)

    order = Order.objects.get()
    assert (order.customer.customer_id, order.total) == ("c2", 12)
    assert OrderLine.objects.get().customer == order.customer
    shop.assert_facts_are_those_of_the_records()


def test_a_merged_visitors_event_is_found_by_its_id() -> None:
    shop.import_rows("events", ["m1", "", "a1", "View", "2026-03-01T10:00:00Z", ""])
    shop.import_rows("events", ["m2", "c1", "a1", "View", "2026-03-01T10:05:00Z", ""])

    assert send_event("c1", "2026-03-01T09:00:00Z").counts == (1, 0, 1, 0)

    assert Event.objects.count() == 2
    assert {event.customer.customer_id for event in Event.objects.all()} == {"c1"}
    shop.assert_facts_are_those_of_the_records()


def test_the_ids_of_an_erased_customer_are_deleted() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,10")
    send_event("c1")
    customer = lookup.find_customer("c1")
    assert customer is not None

    personal_data.erase_customer(customer, NOW)

    assert [(kind, value) for kind, value, _, _ in stored_keys()] == [(RecordKey.Kind.ORDER, "o2")]


# -- Two writers at once


def at_once(*writers: Callable[[], object]) -> None:
    """Run functions in threads that start together, each in its own transactions."""
    start = threading.Barrier(len(writers))
    errors: list[BaseException] = []

    def run(write: Callable[[], object]) -> None:
        try:
            start.wait(20)
            write()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(write,)) for write in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_two_writers_of_one_message_id_for_two_customers_write_one_event() -> None:
    for number in range(ROUNDS):

        def send(customer: str, number: int = number) -> None:
            shop.import_rows(
                "events",
                [f"m{number}", customer, "", "View", "2026-03-01T10:00:00Z", ""],
                update_facts=False,
            )

        at_once(lambda: send("c1"), lambda: send("c2"))

    assert sorted(Event.objects.values_list("message_id", flat=True)) == [f"m{n}" for n in range(ROUNDS)]
    assert RecordKey.objects.count() == ROUNDS
    shop.import_rows("events", ["later", "c1", "", "View", "2026-03-02T10:00:00Z", ""])
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.django_db(transaction=True)
def test_a_message_and_a_row_of_a_file_with_one_id_become_one_event() -> None:
    _, key = source("server")
    for number in range(ROUNDS):
        send(key, track("View", user="c1") | {"messageId": f"m{number}"}, drain=False)
        row = [f"m{number}", "c2", "", "View", "2026-03-01T10:00:00Z", ""]

        at_once(inbox.drain, partial(shop.import_rows, "events", row, update_facts=False))

    inbox.drain()
    assert sorted(Event.objects.values_list("message_id", flat=True)) == [f"m{n}" for n in range(ROUNDS)]
    assert RecordKey.objects.count() == ROUNDS
    shop.import_rows("events", ["later", "c1", "", "View", "2026-03-02T10:00:00Z", ""])
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_sent_again_while_its_visitor_is_merged_stays_one_event() -> None:
    for number in range(ROUNDS):
        visitor, customer = f"a{number}", f"c{number}"
        row = [f"m{number}", "", visitor, "View", "2026-03-01T10:00:00Z", ""]
        link = [f"link{number}", customer, visitor, "Signed In", "2026-03-01T10:05:00Z", ""]
        shop.import_rows("events", row, update_facts=False)

        at_once(
            partial(shop.import_rows, "events", row, update_facts=False),
            partial(shop.import_rows, "events", link, update_facts=False),
        )

    assert Event.objects.count() == 2 * ROUNDS
    for number in range(ROUNDS):
        assert Event.objects.get(message_id=f"m{number}").customer.customer_id == f"c{number}"
    shop.import_rows("events", ["later", "c1", "", "View", "2026-03-02T10:00:00Z", ""])
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.django_db(transaction=True)
def test_a_writer_waits_for_another_one_of_the_same_order() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    written = threading.Event()
    release = threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            shop.orders("o1,c1,2026-03-01,10", update_facts=False)
            written.set()
            assert release.wait(20)
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert written.wait(20)
    threading.Timer(0.3, release.set).start()
    second = shop.orders("o1,c2,2026-03-01,20")
    slow.join()

    assert second.counts == (1, 0, 1, 0)
    order = Order.objects.get()
    assert (order.customer.customer_id, order.total) == ("c2", 20)
    shop.assert_facts_are_those_of_the_records()
