"""One spelling of text: composed (NFC) and decomposed (NFD) letters are the same."""

import json
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from customers.identity import tombstones
from customers.models import Customer, Event, Identity, Order, OrderLine
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, message, send, source, track

pytestmark = pytest.mark.django_db

CASES = Path(__file__).parents[3] / "shared" / "cases"
NFC, NFD = "Malmö", normalize("NFD", "Malmö")
AT = "2026-03-01T10:00:00Z"


@pytest.fixture
def matching(tmp_path: Path) -> Any:
    """Whom each rule matches."""

    def ids(*rules: Any) -> list[list[str]]:
        file = tmp_path / "rules.json"
        file.write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")
        listed = shop.command("evaluate", "--rule", file, "--ids").splitlines()
        return [json.loads(line) for line in listed]

    return ids


def rules_about(city: str) -> list[dict[str, Any]]:
    """A rule for every kind of text and name."""
    return [
        {"city": {"is": city}},
        {"city": {"in": [city, "Rome"]}},
        {"city": {"contains": city[1:].upper()}},
        {"city": {"starts_with": city}},
        {"attribute": {"name": f"tier {city}", "is": city}},
        {"event_count": {"event": f"Seen {city}", "at_least": 1}},
        {"event_count": {"at_least": 1, "where": {"property": f"in {city}", "is": city}}},
        {"event_count": {"at_least": 1, "product": {"brand": {"is": city}}}},
        {"viewed": {"product": {"name": {"is": city}}}},
        {"bought": {"product": {"sku": {"is": city}}}},
        {"order_count": {"at_least": 1, "coupon": {"is": city}}},
    ]


def tell(customer_id: str, city: str) -> None:
    """Tell by files of a customer all that the rules ask for."""
    shop.import_rows("customers", [customer_id, city, city], header=f"customer_id,city,tier {city}")
    order = f"order {customer_id}"
    shop.import_rows(
        "orders", [order, customer_id, AT, city], header="order_id,customer_id,placed_at,coupon_code"
    )
    shop.import_rows("order_lines", [order, city], header="order_id,sku")
    shop.import_rows(
        "events",
        [f"1 {customer_id}", customer_id, "", f"Seen {city}", AT, json.dumps({f"in {city}": city, "brand": city})],
        [
            f"2 {customer_id}", customer_id, "", "Product Viewed", AT,
            json.dumps({"products": [{"name": city}]}, ensure_ascii=False),
        ],
    )  # fmt: skip


@pytest.mark.parametrize("asked", [NFC, NFD], ids=["NFC", "NFD"])
def test_texts_and_names_are_compared_in_one_spelling(asked, matching) -> None:
    tell("composed", NFC)
    tell("decomposed", NFD)
    tell("other", "Malmo")

    rules = rules_about(asked)
    for rule, found in zip(rules, matching(*rules), strict=True):
        assert found == ["composed", "decomposed"], rule
    complements = [{"none": [rule]} for rule in rules]
    assert matching(*complements) == [["other"]] * len(rules)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Stra\u00dfe", "STRASSE"),
        ("\u212bngstr\u00f6m", "a\u030angstro\u0308m"),  # the sign for ångström
        ("\u0391\u0345", "\u1fb3"),  # alpha with iota subscript
        ("\u01f0", "j\u030c"),
        ("\u1e9e", "ss"),
        ("\uac00", "\u1100\u1161"),  # Hangul in one syllable and in letters
    ],
)
def test_compared_text_is_nfc_of_casefold_of_nfc(stored, asked, matching) -> None:
    shop.import_rows("customers", ["c1", stored], header="customer_id,city")

    assert matching({"city": {"is": asked}}, {"city": {"starts_with": asked}}) == [["c1"], ["c1"]]


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_case_of_two_spellings_is_right() -> None:
    shop.import_text("customers", (CASES / "f_nfd.csv").read_bytes())

    assert shop.command("evaluate", "--rule", CASES / "f_rules.json") == "2\n2\n2\n0\n"


def test_ids_are_stored_in_one_spelling_from_every_source() -> None:
    _, key = source()
    caller = ApiClient("ingest", "members:read")
    shop.import_rows("customers", [f"c {NFD}"], header="customer_id")
    caller.post("customers/", {"customer_id": f"c {NFC}", "first_name": NFD})
    send(key, identify(f"c {NFD}", f"a {NFD}", **{f"tier {NFD}": NFD}))
    shop.import_rows("orders", [f"o {NFD}", f"c {NFC}", AT], header="order_id,customer_id,placed_at")
    caller.post("orders/", {"order_id": f"o {NFC}", "lines": [{"sku": NFD, "line_id": NFD}]})
    shop.import_rows("order_lines", [f"o {NFC}", NFC, NFC], header="order_id,sku,line_id")
    send(key, track("Order Updated", user=f"c {NFC}", order_id=f"o {NFD}", total=5, products=[{"sku": NFD}]))
    view = message("track", anonymous=f"a {NFC}", event=f"Seen {NFD}", properties={}) | {
        "messageId": f"m {NFD}"
    }
    send(key, view, view | {"messageId": f"m {NFC}"})

    customer = Customer.objects.existing().get()
    assert (customer.customer_id, customer.first_name) == (f"c {NFC}", NFC)
    assert customer.attributes == {f"tier {NFC}": NFC}
    assert Order.objects.get().order_id == f"o {NFC}"
    assert set(OrderLine.objects.values_list("sku", "key")) == {(NFC, f"#1#{NFC}")}
    assert Event.objects.filter(name=f"Seen {NFC}", message_id=f"m {NFC}").count() == 1
    assert {one.value for one in Identity.objects.all()} == {f"c {NFC}", f"a {NFC}"}


def test_a_customer_is_found_under_an_id_of_any_spelling() -> None:
    shop.import_rows("customers", [NFC], header="customer_id")
    shop.segment("all", {"order_count": {"at_most": 9}})
    refresh_all()
    caller = ApiClient("members:read", "segments:read", "privacy")

    assert caller.get(f"customers/{NFD}/")["customer_id"] == NFC
    assert caller.get(f"segments/all/members/{NFD}/")["member"] is True
    asked = caller.post("segments/membership/", {"customers": [NFD], "segments": ["all"]})
    assert asked["results"] == [{"customer_id": NFD, "segments": ["all"]}]
    assert shop.command("explain", NFD, "all")
    assert caller.request("delete", f"customers/{NFD}/", status=204) is None


def test_a_customer_erased_under_another_spelling_stays_erased() -> None:
    at = shop.NOON
    tombstones.create_tombstones([("customer_id", NFD), ("order_id", f"o {NFD}")], at)

    done = shop.import_rows("orders", [f"o {NFC}", NFC, AT], header="order_id,customer_id,placed_at")

    assert done.created == 0
    assert not Order.objects.exists()
