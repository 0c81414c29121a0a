"""What the key of a browser, which everybody can read, allows and what it does not."""

import pytest

from customers.identity import lookup
from customers.models import Customer, Event, Order, RefusedMessage, Source
from tests.support import shop
from tests.support.tracking_messages import identify, message, send, signed, source, track

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> str:
    return source("server")[1]


@pytest.fixture
def web() -> tuple[Source, str]:
    return source("browser")


def owner(browser: str) -> str:
    found = lookup.find_customer(browser)
    assert found
    return found.customer_id


def test_a_browser_is_linked_to_a_new_customer(web) -> None:
    _, key = web
    send(key, track("View", anonymous="a1"))
    send(key, identify("c1", "a1", email="a@b.org"))
    send(key, track("View", user="c1", anonymous="a1"), track("View", anonymous="a1"))

    assert owner("a1") == "c1"
    assert set(Event.objects.values_list("customer__customer_id", flat=True)) == {"c1"}
    assert Customer.objects.existing().get().email == "a@b.org"


def test_a_browser_is_merged_into_an_existing_customer_only_with_a_signature(server, web) -> None:
    browser, key = web
    send(server, identify("c1", email="a@b.org"))

    send(key, identify("c1", "a1", city="Rome"), track("View", user="c1", anonymous="a1"))
    forged = {"userHash": "0" * 64}
    send(key, message("track", user="c1", anonymous="a2", event="View", context=forged))
    assert (owner("a1"), owner("a2")) == ("anonymous:a1", "anonymous:a2")
    assert Customer.objects.get(customer_id="c1").city == ""
    assert not Event.objects.filter(customer__customer_id="c1").exists()

    send(key, message("track", user="c1", anonymous="a1", event="View", context=signed(browser, "c1")))
    assert owner("a1") == "c1"
    assert Event.objects.filter(customer__customer_id="c1").count() == 2
    assert Customer.objects.get(customer_id="c1").city == "Rome"


def test_a_source_may_trust_unsigned_ids(server) -> None:
    _, key = source("browser", trusts_unsigned_ids=True)
    send(server, identify("c1"))

    send(
        key,
        track("View", user="c1", anonymous="a1"),
        track("Order Completed", user="c1", order_id="o1", total=5),
    )

    assert owner("a1") == "c1"
    assert Order.objects.get().status == "paid"


def test_a_browser_without_an_id_of_its_own_is_refused(web) -> None:
    browser, key = web
    send(key, track("View", user="c1"))
    assert not Customer.objects.exists()
    assert "context.userHash" in RefusedMessage.objects.get().reason

    send(key, message("track", user="c1", event="View", context=signed(browser, "c1")))
    assert Event.objects.get().customer.customer_id == "c1"


def test_known_contact_data_is_not_overwritten_by_a_browser(server, web) -> None:
    browser, key = web
    shop.customers("c1,known@b.org,,Ada,Rome", header="customer_id,email,phone,first_name,city")

    told = {"email": "evil@b.org", "phone": "+49301234567", "firstName": "Eve", "city": "Oslo"}
    send(key, message("identify", user="c1", anonymous="a1", traits=told, context=signed(browser, "c1")))
    again = {"phone": "+49307654321"}
    send(
        key,
        message(
            "identify",
            user="c1",
            anonymous="a1",
            at="2026-03-02",
            traits=again,
            context=signed(browser, "c1"),
        ),
    )
    contact = Customer.objects.existing().values_list("email", "first_name", "phone", "city")
    assert contact.get() == ("known@b.org", "Ada", "+49301234567", "Oslo")

    send(server, identify("c1", phone="+49307654321", email="new@b.org", at="2026-02-01"))
    assert contact.get() == ("new@b.org", "Ada", "+49307654321", "Oslo")


def test_an_address_from_a_browser_merges_nobody(server, web) -> None:
    _, key = web
    send(server, identify("c1", email="a@b.org", phone="+49301234567"))

    send(key, identify(anonymous="a1", email="a@b.org", phone="+49301234567"), track("View", anonymous="a1"))
    assert owner("a1") == "anonymous:a1"
    # Nor does what a browser has told make others believe it.
    send(key, identify("c2", "a2", email="victim@b.org"))
    send(server, identify(anonymous="a3", email="victim@b.org"))
    assert owner("a3") == "anonymous:a3"


def test_an_address_from_a_server_merges_a_visitor(server) -> None:
    shop.customers("c1,a@b.org,", "c2,,+49301234567", header="customer_id,email,phone")
    send(server, track("View", anonymous="a1"), identify(anonymous="a1", email="A@B.org"))
    send(server, identify(anonymous="a2", phone="+49 30 1234567"))

    assert (owner("a1"), owner("a2")) == ("c1", "c2")


def test_an_alias_of_a_browser_concerns_only_its_own_id(server, web) -> None:
    _, key = web
    send(server, track("View", anonymous="victim"))

    send(key, message("alias", user="c1", anonymous="a1", previousId="victim"))
    assert owner("victim") == "anonymous:victim"
    send(server, message("alias", user="c1", previousId="victim"))
    assert owner("victim") == "c1"


def test_an_order_of_a_browser_waits_for_a_server(server, web) -> None:
    _, key = web
    send(key, track("Order Completed", user="c1", anonymous="a1", order_id="o1", total=10))
    send(key, track("Order Completed", anonymous="a2", order_id="o2", total=20, products=[{"sku": "s"}]))
    send(key, track("Order Refunded", anonymous="a2", order_id="o2"))
    send(key, track("Order Cancelled", anonymous="a2", order_id="o1"))
    statuses = Order.objects.order_by("order_id").values_list("customer__customer_id", "status", "total")
    assert [*statuses.all()] == [("c1", "pending", 10), ("anonymous:a2", "pending", 20)]

    send(server, track("Order Updated", user="c1", order_id="o1"))
    send(server, track("Order Completed", user="c2", order_id="o2", total=25))
    # What a server leaves open is not taken from the browser.
    assert [*statuses.all()] == [("c1", "paid", 0), ("c2", "paid", 25)]

    send(key, track("Order Completed", user="c1", anonymous="a1", order_id="o1", total=1, at="2026-03-05"))
    assert [*statuses.all()] == [("c1", "paid", 0), ("c2", "paid", 25)]
    shop.assert_facts_are_those_of_the_records()


def test_an_order_from_elsewhere_is_not_changed_by_a_browser(web) -> None:
    _, key = web
    shop.orders("o1,c1,2026-03-01,100")

    send(key, track("Order Completed", anonymous="a1", order_id="o1", total=1, products=[{"sku": "x"}]))

    order = Order.objects.get()
    assert (order.customer.customer_id, order.total, order.status, order.lines.count()) == (
        "c1",
        100,
        "paid",
        0,
    )
