"""A stranger with the key of a browser gains nothing by naming customer ids, before or after the shop names them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Q
from django.test import Client

from campaigns.channels.base import OutgoingMessage
from campaigns.channels.on_site import OnSite
from campaigns.models import Campaign, Journey
from customers.identity import lookup
from customers.models import (
    ConsentChange,
    Customer,
    Event,
    Identity,
    IdentityLink,
    Order,
    Source,
    UnsignedLink,
)
from segments import segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import sent_messages, shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, message, send, signed, source, track

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
EVIL = {"email": "evil@b.org", "firstName": "Eve", "city": "Oslo", "plan": "gold", "birthday": "1990-01-01"}


@pytest.fixture
def server() -> str:
    return source("server")[1]


@pytest.fixture
def web() -> tuple[Source, str]:
    return source("browser")


def _by_server(_: str, server: str) -> None:
    send(server, identify("victim", email="victim@b.org"))


def _by_event_of_server(_: str, server: str) -> None:
    send(server, track("Signed In", user="victim"))


def _by_group_of_server(_: str, server: str) -> None:
    send(server, message("group", user="victim", groupId="g"))


def _by_file(kind: str, _: str) -> None:
    match kind:
        case "customers":
            shop.customers("victim,victim@b.org")
        case "orders":
            shop.orders("v1,victim,2026-03-01,70")
        case "events":
            shop.events("v2,victim,,Signed In,2026-03-01")


def _by_api(kind: str, _: str) -> None:
    record: dict[str, Any] = {"customer_id": "victim"}
    match kind:
        case "orders":
            record |= {"order_id": "v1", "placed_at": "2026-03-01", "total": 70}
        case "events":
            record |= {"message_id": "v2", "event": "Signed In", "occurred_at": "2026-03-01"}
    ApiClient("ingest").post(f"{kind}/", [record])


NAMINGS = [
    pytest.param(_by_server, "", id="identify of a server"),
    pytest.param(_by_event_of_server, "", id="track of a server"),
    pytest.param(_by_group_of_server, "", id="group of a server"),
    *(pytest.param(_by_file, kind, id=f"a file of {kind}") for kind in ("customers", "orders", "events")),
    *(pytest.param(_by_api, kind, id=f"{kind} by the API") for kind in ("customers", "orders", "events")),
]


def owner(printed: str) -> str:
    found = lookup.find_customer(printed)
    assert found
    return found.customer_id


def row_of(customer_id: str) -> dict[str, Any]:
    columns = (
        "email",
        "phone",
        "first_name",
        "city",
        "birth_date",
        "attributes",
        "newsletter",
        "merged_into",
    )
    return Customer.objects.values(*columns).get(customer_id=customer_id)


def attack(key: str, browser: str = "evil") -> None:
    """All that a browser can say of a customer."""
    send(
        key,
        track("View", anonymous=browser),
        identify("victim", browser, at="2026-03-02", **EVIL),
        track("Product Added", user="victim", anonymous=browser, product_id="p", price=5, at="2026-03-02"),
        track("Order Completed", user="victim", anonymous=browser, order_id=f"o-{browser}", total=900),
        message("alias", user="victim", anonymous=browser, previousId=browser),
    )


def assert_the_stranger_has_all_of_it_back() -> None:
    assert owner("evil") == "anonymous:evil"
    assert {one.customer.customer_id for one in Event.objects.filter(name="View")} == {"anonymous:evil"}
    assert not Event.objects.filter(customer__customer_id="victim").exclude(
        name__in=("Signed In", "Group Joined")
    )
    assert Order.objects.get(order_id="o-evil").customer.customer_id == "anonymous:evil"
    evil = row_of("anonymous:evil")
    assert (evil["email"], evil["first_name"], evil["city"]) == ("evil@b.org", "Eve", "Oslo")
    assert (evil["attributes"], evil["merged_into"]) == ({"plan": "gold"}, None)
    victim = row_of("victim")
    assert victim["email"] in ("", "victim@b.org")
    assert victim | {"email": ""} == {
        "email": "", "phone": "", "first_name": "", "city": "", "birth_date": None, "attributes": {},
        "newsletter": "never", "merged_into": None,
    }  # fmt: skip
    assert not ConsentChange.objects.filter(customer__customer_id="victim").exists()
    shop.assert_facts_are_those_of_the_records()


@pytest.mark.parametrize(("name", "kind"), NAMINGS)
def test_data_from_a_stranger_leaves_an_id_when_the_shop_names_it(name, kind, server, web) -> None:
    for slug, rule in (
        ("carts", {"open_cart": {"within_last": "900d"}}),
        ("gold", {"attribute": {"name": "plan", "is": "gold"}}),
    ):
        shop.segment(slug, rule)
    attack(web[1])
    refresh_all()
    assert (owner("evil"), shop.members("carts"), shop.members("gold")) == ("victim", ["victim"], ["victim"])

    name(kind, server)
    refresh_all()

    assert_the_stranger_has_all_of_it_back()
    moved = [("victim", "left", "merge"), ("anonymous:evil", "entered", "merge")]
    for slug in ("carts", "gold"):
        assert sorted(shop.changes(slug)[-2:]) == sorted(moved)
        assert shop.members(slug) == ["anonymous:evil"]


@pytest.mark.parametrize(("name", "kind"), NAMINGS)
def test_data_from_a_stranger_about_an_id_of_the_shop_belongs_to_the_visitor(name, kind, server, web) -> None:
    name(kind, server)
    before = row_of("victim")

    attack(web[1])

    assert row_of("victim") == before
    assert_the_stranger_has_all_of_it_back()


def test_an_id_that_the_shop_names_in_the_same_batch_is_trusted(server, web) -> None:
    send(web[1], track("View", anonymous="evil"), identify("victim", "evil", **EVIL), drain=False)
    send(server, track("Signed In", user="victim"))

    assert (owner("evil"), row_of("victim")["email"]) == ("anonymous:evil", "")


def test_a_stranger_cannot_change_when_a_customer_was_first_seen(web) -> None:
    send(web[1], identify("victim", "evil", createdAt="2001-01-01", at="2020-01-01"))
    before = datetime.now(UTC)

    shop.customers("victim,victim@b.org")

    assert Customer.objects.get(customer_id="victim").facts.first_seen_at >= before


@pytest.mark.parametrize("later", ["2025-06-01", "2027-01-01"])
@pytest.mark.parametrize("way", ["file", "API"])
def test_the_earliest_first_seen_of_records_and_messages_counts(way, later, server) -> None:
    def give(first_seen: str) -> None:
        if way == "file":
            shop.customers(f"c1,{first_seen}", header="customer_id,first_seen")
        else:
            ApiClient("ingest").post("customers/", [{"customer_id": "c1", "first_seen": first_seen}])

    def first_seen() -> str:
        return str(Customer.objects.values_list("first_seen__date", flat=True).get(customer_id="c1"))

    send(server, identify("c1", createdAt="2025-03-01", at="2026-03-01"))
    give("2026-01-01")
    assert first_seen() == "2025-03-01"

    give("2024-01-01")
    assert first_seen() == "2024-01-01"
    give(later)  # of records the latest counts
    assert first_seen() == "2025-03-01"


def test_first_seen_of_a_file_returns_when_a_browser_belongs_to_another_customer(server) -> None:
    send(server, identify(anonymous="a1", createdAt="2025-01-01", at="2026-03-02"))
    shop.customers("c1,2026-01-01", header="customer_id,first_seen")
    seen = Customer.objects.existing().values_list("customer_id", "first_seen__year")
    send(server, track("View", user="c1", anonymous="a1", at="2026-03-02"))
    assert dict(seen) == {"c1": 2025}

    send(server, track("View", user="c2", anonymous="a1", at="2026-03-01"))
    assert dict(seen.all()) == {"c1": 2026, "c2": 2025}


# -- What the browser reads


@pytest.fixture
def reads(client: Client) -> Callable[[str], tuple[list[str], list[str]]]:
    """Ask as a page of the shop does for a visitor's public segments, and for their messages."""
    key = shop.command("create_key", "Web shop", "--visitors").split()[-1]

    def asked(visitor: str) -> tuple[list[str], list[str]]:
        segments, shown = (
            client.get(f"/api/v1/visitors/{visitor}/{what}/", {"key": key}).json()[what]
            for what in ("segments", "messages")
        )
        return segments, [one["title"] for one in shown]

    return asked


def told(campaign: Campaign, customer: str, title: str) -> None:
    delivery = sent_messages.sent(campaign, customer, at := NOW - timedelta(hours=1))
    Journey.objects.create(
        campaign=campaign,
        customer=delivery.customer,
        occasion=delivery.occasion,
        began_at=at,
        state=Journey.State.FINISHED,
    )
    OnSite().send(delivery, OutgoingMessage(title, "For you alone.", "", "https://shop.example/"))
    delivery.save()


@pytest.mark.parametrize("first", ["the stranger", "the shop"])
def test_a_stranger_reads_no_messages_and_no_segments_of_the_customer(first, reads, server, web) -> None:
    segment_store.save_segment(
        Segment(slug="buyers", name="Buyers", rule={"order_count": {"at_least": 1}}, is_public=True)
    )
    campaign = sent_messages.campaign(channel=OnSite.key)
    if first == "the stranger":
        attack(web[1])
    shop.orders("o1,victim,2026-03-01,70")
    if first == "the shop":
        attack(web[1])
    refresh_all()
    told(campaign, "victim", "Your secret present")

    assert reads("evil") == ([], [])

    context = signed(web[0], "victim")
    send(web[1], message("track", user="victim", anonymous="phone", event="View", context=context))
    assert reads("phone") == (["buyers"], ["Your secret present"])
    assert reads("evil") == ([], [])


def test_a_message_for_a_stranger_leaves_with_the_stranger(reads, web) -> None:
    campaign = sent_messages.campaign(channel=OnSite.key)
    send(web[1], track("View", anonymous="evil"), identify("victim", "evil", firstName="Visit evil.example"))
    refresh_all()
    told(campaign, "victim", "Hello Visit evil.example")
    assert reads("evil")[1] == ["Hello Visit evil.example"]

    shop.customers("victim,victim@b.org")

    context = signed(web[0], "victim")
    send(web[1], message("track", user="victim", anonymous="phone", event="View", context=context))
    refresh_all()
    assert reads("phone")[1] == []
    assert reads("evil")[1] == ["Hello Visit evil.example"]


# -- What joins for good


def test_a_signed_link_stays(server, web) -> None:
    context = signed(web[0], "c1")
    send(web[1], message("identify", user="c1", anonymous="a1", traits={"city": "Rome"}, context=context))
    send(server, identify("c1", email="c1@b.org"))
    shop.customers("c1,other@b.org")

    assert owner("a1") == "c1"
    assert row_of("c1")["city"] == "Rome"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["a server", "an alias", "a file", "the API"])
def test_a_trusted_record_with_both_ids_merges_for_good(way, when, server, web) -> None:
    def join() -> None:
        match way:
            case "a server":
                send(server, track("Signed In", user="c1", anonymous="a1"))
            case "an alias":
                send(server, message("alias", user="c1", previousId="a1"))
            case "a file":
                shop.events("e1,c1,a1,Signed In,2026-03-01")
            case "the API":
                event = {"message_id": "e1", "customer_id": "c1", "anonymous_id": "a1"}
                event |= {"event": "Signed In", "occurred_at": "2026-03-01"}
                ApiClient("ingest").post("events/", [event])

    if when == "before":
        join()
    send(web[1], track("View", anonymous="a1"), identify("c1", "a1", city="Rome"))
    if when == "after":
        join()
    shop.customers("c1,c1@b.org")

    assert (owner("a1"), row_of("c1")["city"], row_of("c1")["email"]) == ("c1", "Rome", "c1@b.org")
    assert Event.objects.get(name="View").customer.customer_id == "c1"
    shop.assert_facts_are_those_of_the_records()


def test_a_stranger_cannot_keep_a_browser_from_its_customer(server, web) -> None:
    """Who knows the id of somebody's browser may name an id with it, and be it long ago."""
    send(web[1], *(identify(f"x{n}", "a1", at="2001-01-01") for n in range(300)))
    send(server, track("Signed In", user="c1", anonymous="a1"))

    assert owner("a1") == "c1"
    assert not IdentityLink.objects.filter(is_conflict=True).exists()
    assert set(Customer.objects.existing().values_list("customer_id", flat=True)) == {"c1"}


# -- Several browsers, several ids


def test_of_two_browsers_that_name_an_id_the_earliest_is_linked(web) -> None:
    _, key = web
    send(key, track("View", anonymous="a1"), identify("c1", "a1", at="2026-03-02", city="Rome"))
    send(key, track("View", anonymous="a2"), identify("c1", "a2", at="2026-03-03", city="Oslo"))
    assert (owner("a1"), owner("a2"), row_of("c1")["city"]) == ("c1", "anonymous:a2", "Rome")

    send(key, identify("c1", "a3", at="2026-03-01", city="Rome"))
    assert (owner("a1"), owner("a2"), owner("a3")) == ("anonymous:a1", "anonymous:a2", "c1")
    assert [row_of(one)["city"] for one in ("c1", "anonymous:a1", "anonymous:a2")] == ["Rome", "Rome", "Oslo"]
    shop.assert_facts_are_those_of_the_records()


def test_a_browser_that_names_many_ids_is_linked_to_the_first(web) -> None:
    send(web[1], *(identify(f"c{n}", "a1", at=f"2026-03-0{n + 1}") for n in range(5)))

    assert (owner("a1"), lookup.find_customer("c1")) == ("c0", None)
    assert Customer.objects.existing().count() == 1


def test_many_browsers_that_name_one_id_stay_apart(web, django_assert_max_num_queries) -> None:
    for n in range(3):
        send(web[1], *(identify("c1", f"a{n}-{m}", at=f"2026-03-02T10:{m:02}:00Z") for m in range(50)))
    with django_assert_max_num_queries(150):
        send(web[1], identify("c1", "late", at="2026-03-03"))

    assert Identity.objects.filter(customer__customer_id="c1").count() == 2
    shop.customers("c1,c1@b.org")
    assert Identity.objects.filter(customer__customer_id="c1").count() == 1
    shop.assert_facts_are_those_of_the_records()


def test_unsigned_links_are_exported_and_erased_with_the_customer(web) -> None:
    send(web[1], identify("c1", "a1"), identify("c2", "a1", at="2026-03-05"))
    links = json.loads(shop.command("export_customer", "a1"))["tracking"]["unsigned_links"]
    assert [(one["id"], one["linked_to"]) for one in links if one["id"] == "a1"] == [("a1", "c1")]

    shop.command("erase_customer", "a1", "--yes")

    assert not UnsignedLink.objects.filter(Q(value="a1") | Q(other="a1")).exists()
