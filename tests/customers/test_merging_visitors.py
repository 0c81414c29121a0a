"""An event row with both ids merges the visitor into the customer: once, completely, in any order of rows."""

import threading
import time
from itertools import permutations
from typing import Any

import pytest
from django.db import connection, transaction

from core.db import execution
from customers.identity import lookup, staged_customers
from customers.models import Customer, Event, EventProduct
from segments.evaluation.context import context_at
from segments.evaluation.matching import existing_customers
from tests.conftest import is_cluster
from tests.support import shop

pytestmark = [pytest.mark.django_db, pytest.mark.distributed_keys]

HEADER = shop.HEADERS["events"]
VISITED = [
    "m1",
    "",
    "a1",
    "Product Added",
    "2026-03-01T10:00:00Z",
    '{"price": 10, "products": [{"sku": "x"}]}',
]
LOOKED = ["m2", "", "a1", "Product Viewed", "2026-03-01T10:20:00Z", ""]
BOTH = ["m3", "c1", "a1", "Signed In", "2026-03-01T10:40:00Z", ""]
LATER = ["m4", "c1", "", "Product Viewed", "2026-03-03T10:00:00Z", ""]


def bring(*rows: list[str]) -> shop.Imported:
    return shop.import_rows("events", *rows, header=HEADER)


def assert_all_is_of_one_customer() -> None:
    customer = Customer.objects.existing().get()
    assert customer.customer_id == "c1"
    assert (
        lookup.find_customer("c1")
        == lookup.find_customer("a1")
        == lookup.find_customer("anonymous:a1")
        == customer
    )
    assert sorted(Event.objects.values_list("message_id", flat=True)) == ["m1", "m2", "m3", "m4"]
    assert set(Event.objects.values_list("customer_id", flat=True)) == {customer.pk}
    assert set(EventProduct.objects.values_list("customer_id", flat=True)) == {customer.pk}
    assert (customer.facts.event_count, customer.facts.session_count) == (4, 2)
    assert customer.facts.cart_value == 100_000
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=lambda order: "".join(map(str, order)))
def test_a_visitor_is_merged_wherever_the_row_with_both_ids_is(order) -> None:
    rows = [VISITED, LOOKED, BOTH, LATER]

    done = bring(*(rows[place] for place in order))

    assert done.counts == (4, 4, 0, 0)
    assert_all_is_of_one_customer()


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_a_visitor_is_merged_across_two_files(cut, backwards) -> None:
    rows = [VISITED, LOOKED, BOTH, LATER][:: -1 if backwards else 1]

    bring(*rows[:cut])
    bring(*rows[cut:])

    assert_all_is_of_one_customer()


def test_the_row_of_a_merged_visitor_points_to_the_customer() -> None:
    bring(VISITED)
    visitor = Customer.objects.get()

    bring(BOTH)

    visitor.refresh_from_db()
    assert visitor.customer_id == "anonymous:a1"
    assert visitor.merged_into == Customer.objects.existing().get()
    assert not hasattr(visitor, "facts")
    assert not visitor.events.exists()
    assert existing_customers(context_at(shop.NOON)).count() == 1


def test_importing_files_again_after_a_merge_changes_nothing() -> None:
    bring(VISITED, LOOKED)
    bring(BOTH, LATER)
    before = shop.comparable_records()

    bring(BOTH, LATER)
    bring(VISITED, LOOKED)

    assert shop.comparable_records() == before
    assert_all_is_of_one_customer()


def test_an_anonymous_id_that_belongs_to_another_customer_id_stays_there() -> None:
    bring(VISITED, BOTH)

    bring(
        ["n1", "c2", "a1", "Signed In", "2026-03-05T10:00:00Z", ""],
        ["n2", "", "a1", "View", "2026-03-06", ""],
    )

    owners = dict(Event.objects.values_list("message_id", "customer__customer_id"))
    assert owners == {"m1": "c1", "m3": "c1", "n1": "c2", "n2": "c1"}
    assert lookup.find_customer("a1") == Customer.objects.get(customer_id="c1")
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.parametrize("met_before", [False, True], ids=["new", "met before"])
def test_of_several_customers_with_one_visitor_in_a_file_the_first_gets_it(met_before) -> None:
    if met_before:
        bring(VISITED)
    claims = [[f"n{n}", f"c{n}", "a1", "Signed In", "2026-03-05T10:00:00Z", ""] for n in (9, 2, 5)]

    bring(*claims)

    assert lookup.find_customer("a1") == Customer.objects.get(customer_id="c9")
    assert Customer.objects.existing().count() == 3
    shop.assert_facts_are_those_of_the_records()


def test_several_visitors_become_one_customer() -> None:
    bring(*([f"m{n}", "", f"a{n}", "View", "2026-03-01T10:00:00Z", ""] for n in (1, 2, 3)))

    bring(*([f"n{n}", "c1", f"a{n}", "Signed In", "2026-03-02T10:00:00Z", ""] for n in (1, 2, 3)))

    customer = Customer.objects.existing().get()
    assert {lookup.find_customer(f"a{n}") for n in (1, 2, 3)} == {customer}
    assert customer.facts.event_count == 6
    shop.assert_facts_are_those_of_the_records()


def test_a_row_sent_again_with_other_ids_causes_no_other_merge() -> None:
    bring(["m1", "", "a1", "View", "2026-03-01", ""], ["m1", "c1", "", "View", "2026-03-01", ""])

    assert lookup.find_customer("a1") != lookup.find_customer("c1")
    assert Event.objects.get().customer.customer_id == "c1"
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.parametrize("kind", ["customers", "orders", "events"])
def test_a_customer_id_may_not_look_like_the_public_id_of_a_visitor(kind) -> None:
    bring(VISITED)

    match kind:
        case "customers":
            done = shop.customers("anonymous:a1,a@example.org")
        case "orders":
            done = shop.orders("o1,anonymous:a1,2026-03-01,5")
        case _:
            done = shop.events("m2,anonymous:a1,,View,2026-03-01")

    assert done.reason == (
        "customer_id: 'anonymous:a1' is the public id of an anonymous visitor; use the shop's own customer id"
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["the join", "the event"])
def test_records_written_during_a_merge_belong_to_the_customer(first) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    bring(VISITED)
    rows = {"the join": BOTH, "the event": LOOKED}
    written = threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            shop.import_rows("events", rows.pop(first), header=HEADER, update_facts=False)
            written.set()
            time.sleep(0.5)  # in which the other one comes to wait for us
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert written.wait(20)
    [other] = rows.values()
    bring(other)
    slow.join()

    bring(LATER)
    assert_all_is_of_one_customer()


@pytest.mark.django_db(transaction=True)
def test_two_files_that_describe_a_customer_at_once_keep_what_each_says() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    shop.customers("c1,c1@example.org")
    written = threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            shop.import_rows("customers", ["c1", "Rome"], header="customer_id,city", update_facts=False)
            written.set()
            time.sleep(0.5)  # in which the other one comes to wait for us
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert written.wait(20)
    shop.customers("c1,IT", header="customer_id,country")
    slow.join()

    customer = Customer.objects.get(customer_id="c1")
    assert (customer.city, customer.country) == ("Rome", "IT")


@pytest.mark.django_db(transaction=True)
def test_a_file_waits_for_the_description_of_a_customer_whom_another_file_has_just_created(
    monkeypatch,
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    written = threading.Event()

    def create_and_describe() -> None:
        shop.customers("c1,c1@example.org")
        with transaction.atomic():
            shop.import_rows("customers", ["c1", "Rome"], header="customer_id,city", update_facts=False)
            written.set()
            time.sleep(0.5)  # in which the other one comes to wait for us
        connection.close()

    slow = threading.Thread(target=create_and_describe)
    fill = staged_customers.fill_customers

    def fill_late(*args: Any) -> int:
        if threading.current_thread() is not slow and not written.is_set():
            slow.start()
            assert written.wait(20)
        return fill(*args)

    monkeypatch.setattr(staged_customers, "fill_customers", fill_late)
    shop.customers("c1,IT", header="customer_id,country")
    slow.join()

    customer = Customer.objects.get(customer_id="c1")
    assert (customer.email, customer.city, customer.country) == ("c1@example.org", "Rome", "IT")


@pytest.mark.django_db(transaction=True)
def test_a_file_is_imported_despite_a_deadlock(request: pytest.FixtureRequest) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    if is_cluster(request.config):
        pytest.skip("on a cluster, one of the statements waits for the other before it locks a row")
    shop.customers("c1,c1@example.org", "c2,c2@example.org")
    holds_one = threading.Event()
    [(mine,)] = execution.fetch_all("SELECT pg_backend_pid()")

    def cross() -> None:
        with transaction.atomic():
            execution.execute("SET LOCAL deadlock_timeout = '1min'")  # the other one gives way
            execution.execute("UPDATE customers_customer SET city = 'Rome' WHERE customer_id = 'c2'")
            holds_one.set()
            while not execution.fetch_all("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", [mine]):
                time.sleep(0.01)
            execution.execute("UPDATE customers_customer SET city = 'Rome' WHERE customer_id = 'c1'")
        connection.close()

    crossing = threading.Thread(target=cross)
    crossing.start()
    assert holds_one.wait(20)
    done = shop.customers("c1,new1@example.org", "c2,new2@example.org")
    crossing.join()

    assert done.counts == (2, 0, 2, 0)
    found = Customer.objects.order_by("customer_id").values_list("email", "city")
    assert list(found) == [("new1@example.org", "Rome"), ("new2@example.org", "Rome")]
