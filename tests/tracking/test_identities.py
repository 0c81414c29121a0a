"""Identity resolution: merges, second devices, addresses, and conflicts."""

import pytest

from customers.identity import lookup
from customers.models import Customer, Event, IdentityLink, Order
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.tracking_messages import identify, message, send, source, track

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return source()[1]


def owner(printed: str) -> str:
    found = lookup.find_customer(printed)
    assert found
    return found.customer_id


def conflicts() -> set[tuple[str, str]]:
    refused = IdentityLink.objects.filter(is_conflict=True).values_list("one__value", "other__value")
    return {(min(pair), max(pair)) for pair in refused}


def test_the_history_of_a_visitor_becomes_the_customers_with_orders_and_traits(key) -> None:
    send(
        key,
        track("Product Added", anonymous="a1", price=10),
        track("Order Completed", anonymous="a1", order_id="o1", total=30, products=[{"sku": "s"}]),
        identify(anonymous="a1", email="guest@b.org", city="Rome"),
    )
    assert Order.objects.get().customer.customer_id == "anonymous:a1"

    send(key, identify("c1", "a1", email="c1@b.org", at="2026-02-01T10:00:00Z"))

    customer = Customer.objects.existing().get()
    assert (customer.customer_id, customer.email, customer.city) == ("c1", "c1@b.org", "Rome")
    assert Order.objects.get().customer == Order.objects.get().lines.get().customer == customer
    assert owner("a1") == owner("anonymous:a1") == "c1"
    assert (customer.facts.order_count, customer.facts.event_count) == (1, 2)
    shop.assert_facts_are_those_of_the_records()

    send(key, track("View", anonymous="a1"))
    assert {event.customer for event in Event.objects.all()} == {customer}


def test_a_second_device_and_an_alias_lead_to_the_same_customer(key) -> None:
    send(key, *(track("View", anonymous=browser) for browser in ("a1", "a2", "a3")))
    send(key, identify("c1", "a1"), track("View", user="c1", anonymous="a2"))
    send(key, message("alias", user="c1", previousId="a3"))

    assert {owner(browser) for browser in ("a1", "a2", "a3")} == {"c1"}
    assert Customer.objects.existing().get().facts.event_count == 4


def test_visitors_of_one_address_are_one_visitor_until_a_customer_has_it(key) -> None:
    send(key, *(track("View", anonymous=browser) for browser in ("a2", "a1")))
    send(key, *(identify(anonymous=browser, email="x@b.org") for browser in ("a2", "a1")))
    assert owner("a2") == "anonymous:a1"

    send(key, identify("c1", email="x@b.org"))
    assert owner("a2") == owner("a1") == "c1"
    assert Customer.objects.get(customer_id="anonymous:a2").merged_into == Customer.objects.get(
        customer_id="c1"
    )


def test_two_customer_ids_stay_apart_and_the_conflict_is_shown(key) -> None:
    send(key, identify("c1", "a1", email="x@b.org"), identify("c2", email="x@b.org", at="2026-03-02"))
    send(key, track("View", user="c2", anonymous="a1", at="2026-03-02"), track("View", anonymous="a1"))

    assert (owner("c1"), owner("c2"), owner("a1")) == ("c1", "c2", "c1")
    assert conflicts() == {("a1", "c2"), ("c2", "x@b.org")}
    owners = Event.objects.order_by("occurred_at").values_list("customer__customer_id", flat=True)
    assert [*owners] == ["c1", "c2"]


def test_a_late_link_is_applied_at_its_time(key) -> None:
    send(key, track("View", anonymous="a1"), track("Order Completed", anonymous="a1", order_id="o1", total=5))
    send(key, identify(anonymous="a1", phone="+49301234567"), identify("c2", "a1", at="2026-03-02"))
    assert owner("a1") == Order.objects.get().customer.customer_id == "c2"
    assert Customer.objects.get(customer_id="c2").phone == "+49301234567"

    send(key, identify("c1", "a1", at="2026-03-01T11:00:00Z"))

    assert (owner("a1"), conflicts()) == ("c1", {("a1", "c2")})
    assert set(Event.objects.values_list("customer__customer_id", flat=True)) == {"c1"}
    assert Order.objects.get().customer.customer_id == "c1"
    assert dict(Customer.objects.existing().values_list("customer_id", "phone")) == {
        "c1": "+49301234567",
        "c2": "",
    }
    shop.assert_facts_are_those_of_the_records()


def test_a_merge_by_a_file_lasts(key) -> None:
    shop.events("m1,c1,a1,View,2026-03-01")

    send(key, track("View", user="c2", anonymous="a1", at="2020-01-01"))

    assert owner("a1") == "c1"
    assert conflicts() == {("a1", "c2")}


def test_an_address_shared_by_too_many_links_nobody(key, monkeypatch) -> None:
    monkeypatch.setattr("customers.identity.assertions.MAX_LINKS", 3)
    send(key, track("View", anonymous="a1"), identify(anonymous="a1", email="none@b.org"))
    for n in range(6):
        send(key, identify(f"c{n}", email="none@b.org", at=f"2026-03-0{n + 2}"))

    assert owner("a1") == "anonymous:a1"
    assert Customer.objects.existing().filter(email="none@b.org").count() == 7
    shop.assert_facts_are_those_of_the_records()


def test_membership_changes_after_a_merge_name_it_as_the_cause(key) -> None:
    shop.segment("fans", {"event_count": {"at_least": 2, "event": "View"}})
    shop.segment("viewers", {"event_count": {"at_least": 1, "event": "View"}})
    send(key, track("View", anonymous="a1"), track("View", user="c1"))
    refresh_all()
    before = len(shop.changes("viewers"))

    send(key, message("alias", user="c1", previousId="a1"))
    refresh_all()

    assert shop.changes("fans") == [("c1", "entered", "merge")]
    assert shop.changes("viewers")[before:] == [("anonymous:a1", "left", "merge")]
