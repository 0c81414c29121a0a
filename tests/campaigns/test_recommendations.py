"""Product recommendations, compared with a simple reference implementation."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from random import Random
from typing import Any

import pytest

from campaigns import tasks
from campaigns.links import link_hosts
from campaigns.models import BoughtTogether, SoldProduct
from campaigns.recommendations import products
from campaigns.recommendations.products import Product
from campaigns.recommendations.recommender import CustomerProducts
from core.values.decimals import from_units, round_half_away
from customers.identity import lookup
from customers.models import Customer
from tests.support import shop

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SKUS = [f"S{n}" for n in range(9)]
CATEGORY = {sku: f"Cat{n % 4}" if n % 5 else "" for n, sku in enumerate(SKUS)}
BRAND = {sku: f"Brand{n % 3}" if n % 4 else "" for n, sku in enumerate(SKUS)}

pytestmark = pytest.mark.django_db


def customer(printed: str) -> Customer:
    found = lookup.find_customer(printed)
    assert found
    return found


def recommended(public_id: str, kind: str, limit: int = 50, at: datetime = NOW) -> list[Product]:
    """Return what the method ``kind`` of the recommender returns for a customer."""
    products: list[Product] = getattr(CustomerProducts(customer(public_id), at), kind)(limit)
    return products


def skus(public_id: str, kind: str, limit: int = 50, at: datetime = NOW) -> list[str]:
    return [product.sku for product in recommended(public_id, kind, limit, at)]


# -- The reference


@dataclass
class Happened:
    """An order or event of a random shop."""

    number: int
    who: str
    at: datetime
    what: str  # an order's status, or an event's name
    lines: dict[str, int] = field(default_factory=dict)


class Reference:
    """A random shop, and its recommendations by the reference implementation."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        people = [f"c{n}" for n in range(40)]
        statuses = ["paid"] * 6 + ["fulfilled", "pending", "cancelled", "refunded"]
        # Days apart, so that nothing happens at the same moment; some before the year that is learned from, and
        # some after the instant.
        days = iter(random.sample(range(-20, 420), 320))
        self.orders = [
            Happened(number, random.choice(people), self._day(next(days)), random.choice(statuses), lines)
            for number in range(220)
            for lines in [{sku: random.choice([1, 1, 1, 2, 2, -1]) for sku in self._basket(random)}]
        ]
        names = ["Product Viewed", "Product Viewed", "Product Added", "Product Added", "Product Removed"]
        self.events = [
            Happened(number, random.choice(people), self._day(next(days)), random.choice(names), lines)
            for number in range(100)
            for lines in [{random.choice(SKUS): random.randrange(1, 3)}]
        ]
        self.people = people

    @staticmethod
    def _day(ago: int) -> datetime:
        return NOW - timedelta(days=ago, hours=1)

    @staticmethod
    def _basket(random: Random) -> list[str]:
        start = random.randrange(len(SKUS))
        pairs = [SKUS[start], SKUS[(start + 1) % len(SKUS)], random.choice(SKUS)]
        return list(dict.fromkeys(random.sample(pairs, random.randrange(2, 4))))

    def record(self) -> None:
        """Ingest the record."""
        shop.orders(
            *(f"o{one.number},{one.who},{one.at.isoformat()},9,{one.what}" for one in self.orders),
            header="order_id,customer_id,placed_at,total,status",
        )
        shop.lines(
            *(
                f"o{one.number},{sku},The {sku},{CATEGORY[sku]},{BRAND[sku]},{quantity},5"
                for one in self.orders
                for sku, quantity in one.lines.items()
            ),
            header="order_id,sku,name,category,brand,quantity,unit_price",
        )
        shop.import_rows(
            "events",
            *(
                [
                    f"m{one.number}",
                    one.who,
                    "",
                    one.what,
                    one.at.isoformat(),
                    json.dumps(
                        {"sku": sku, "quantity": quantity, "category": CATEGORY[sku], "brand": BRAND[sku]}
                    ),
                ]
                for one in self.events
                for sku, quantity in one.lines.items()
            ),
        )

    def baskets(self) -> Iterator[set[str]]:
        for order in self._counting():
            bought = {sku for sku, quantity in order.lines.items() if quantity > 0}
            if order.at > NOW - timedelta(days=365) and bought:
                yield bought

    def pairs(self) -> dict[tuple[str, str], tuple[int, Decimal]]:
        baskets = list(self.baskets())
        alone = Counter(sku for basket in baskets for sku in basket)
        together = Counter(pair for basket in baskets for pair in permutations(basket, 2))
        lifts = {
            (a, b): (count, from_units(round_half_away(Fraction(count * len(baskets), alone[a] * alone[b]) * 10_000)))
            for (a, b), count in together.items()
            if count >= 3
        }  # fmt: skip
        return {pair: found for pair, found in lifts.items() if found[1] > 1}

    def sold(self) -> Counter[str]:
        return Counter(sku for basket in self.baskets() for sku in basket)

    def has(self, who: str) -> set[str]:
        return {
            sku for order in self._counting() if order.who == who for sku, n in order.lines.items() if n > 0
        }

    def cart(self, who: str) -> dict[str, int]:
        ordered = max(
            (one.at for one in self.orders if one.who == who and one.at <= NOW and one.what != "cancelled"),
            default=NOW - timedelta(days=9999),
        )
        cart: dict[str, int] = {}
        for event in sorted(self.events, key=lambda one: one.at):
            if event.who != who or not ordered < event.at <= NOW or event.what == "Product Viewed":
                continue
            [(sku, quantity)] = event.lines.items()
            if event.what == "Product Added":
                cart[sku] = cart.pop(sku, 0) + quantity
            elif cart.get(sku, 0) > quantity:
                cart[sku] = cart.pop(sku) - quantity
            else:
                cart.pop(sku, None)
        return dict(reversed(cart.items()))

    def viewed(self, who: str) -> list[str]:
        views = [
            one for one in self.events
            if one.who == who and one.what == "Product Viewed" and NOW - timedelta(days=90) < one.at <= NOW
        ]  # fmt: skip
        latest = sorted(views, key=lambda one: one.at, reverse=True)
        return list(dict.fromkeys(sku for one in latest for sku in one.lines))

    def seeds(self, who: str) -> list[str]:
        if cart := list(self.cart(who)):
            return cart
        orders = sorted(
            (one for one in self._counting() if one.who == who), key=lambda one: one.at, reverse=True
        )
        bought = [sku for order in orders for sku, quantity in order.lines.items() if quantity > 0]
        return list(dict.fromkeys(bought)) or self.viewed(who)

    def bought_together(self, who: str) -> list[str]:
        seeds, not_again = self.seeds(who), self.has(who) | self.cart(who).keys()
        best: dict[str, tuple[Decimal, int]] = {}
        for (a, b), (count, lift) in self.pairs().items():
            if a in seeds and b not in not_again:
                before = best.get(b, (Decimal(0), 0))
                best[b] = max(before[0], lift), max(before[1], count)
        return sorted(best, key=lambda sku: (-best[sku][0], -best[sku][1], sku))

    def similar(self, who: str) -> list[str]:
        seeds, not_again = self.seeds(who), self.has(who) | self.cart(who).keys()
        categories = {CATEGORY[sku] for sku in seeds} - {""}
        brands = {BRAND[sku] for sku in seeds} - {""}
        sold = self.sold()
        alike = [sku for sku in sold if CATEGORY[sku] in categories or BRAND[sku] in brands]
        return sorted(set(alike) - not_again, key=lambda sku: (-sold[sku], sku))

    def _counting(self) -> list[Happened]:
        return [one for one in self.orders if one.what in ("paid", "fulfilled") and one.at <= NOW]


@pytest.mark.parametrize(
    ("seed", "range_size"), [*((seed, products.RANGE_SIZE) for seed in range(3)), (3, 2)]
)
def test_recommendations_are_those_of_the_reference(
    seed: int, range_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "RANGE_SIZE", range_size)
    reference = Reference(seed)
    reference.record()
    products.learn_products(NOW)
    products.learn_products(NOW)  # again, and nothing is there twice

    pairs: Any = BoughtTogether.objects.values_list("product__sku", "other__sku", "orders", "lift")
    assert {(a, b): (count, lift) for a, b, count, lift in pairs} == reference.pairs()
    assert dict(SoldProduct.objects.values_list("sku", "orders")) == reference.sold()
    assert len(reference.pairs()) > 4
    for who in reference.people[:12]:
        if lookup.find_customer(who) is None:
            continue
        not_bought = [sku for sku in reference.viewed(who) if sku not in reference.has(who)]
        assert skus(who, "viewed") == not_bought
        cart = recommended(who, "cart")
        assert {one.sku: one.quantity for one in cart} == reference.cart(who)
        assert [one.sku for one in cart] == list(reference.cart(who))
        assert skus(who, "bought_together") == reference.bought_together(who)
        assert skus(who, "similar") == reference.similar(who)
        assert skus(who, "similar", limit=2) == reference.similar(who)[:2]


# -- By hand


def test_recommendations_take_a_few_queries_in_a_shop_of_any_size(django_assert_max_num_queries) -> None:
    Reference(1).record()
    products.learn_products(NOW)
    shopper = CustomerProducts(customer("c1"), NOW)

    with django_assert_max_num_queries(12):
        assert shopper.bought_together(4) is not None
        assert shopper.similar(4) is not None
        assert shopper.viewed(4) is not None


def test_bulk_orders_and_rare_pairs_are_ignored() -> None:
    shop.orders(*(f"o{n},c{n},2026-03-01T10:00:00Z,9" for n in range(9)))
    shop.lines(*(f"o0,T{n},1" for n in range(51)))
    shop.lines(*(f"o{n},{sku},1" for n in (1, 2) for sku in ("A", "B")))
    shop.lines(*(f"o{n},{sku},1" for n in (3, 4, 5) for sku in ("C", "D")), "o6,E,1")

    products.learn_products(NOW)

    assert set(BoughtTogether.objects.values_list("product__sku", "other__sku")) == {("C", "D"), ("D", "C")}
    assert set(SoldProduct.objects.values_list("sku", flat=True)) == set("ABCDE")
    assert BoughtTogether.objects.filter(lift=2).count() == 2  # 3 × 6 ÷ (3 × 3)


def test_products_that_are_no_longer_sold_are_forgotten() -> None:
    shop.orders("o1,c1,2025-03-20T10:00:00Z,9", "o2,c1,2026-03-01T10:00:00Z,9")
    shop.lines("o1,old,1", "o2,new,1")

    products.learn_products(NOW)
    assert set(SoldProduct.objects.values_list("sku", flat=True)) == {"old", "new"}
    products.learn_products(NOW + timedelta(days=30))
    assert set(SoldProduct.objects.values_list("sku", flat=True)) == {"new"}
    tasks.learn_products()


def view(number: int, who: str, **properties: Any) -> None:
    moment = f"2026-03-14T10:{number:02d}:00Z"
    shop.import_rows(
        "events", [f"v{number}-{who}", who, "", "Product Viewed", moment, json.dumps(properties)]
    )


def test_product_links_lead_only_to_the_shop(settings) -> None:
    settings.SHOP_URL, settings.PRODUCT_HOSTS = "https://shop.example/de/", ["cdn.example"]
    shop.orders("o1,c2,2026-03-01T10:00:00Z,9")
    shop.lines("o1,lamp,A lamp,1,9.90", header="order_id,sku,name,quantity,unit_price")
    good = {"url": "/lamp", "image_url": "https://img.cdn.example/lamp.png"}
    view(1, "c1", product_id="LAMP", price="9.9", **good)
    products.learn_products(NOW)

    [lamp] = recommended("c1", "viewed", 5)
    assert lamp == Product(
        "lamp", "LAMP", "A lamp", price=Decimal("9.9"), url="https://shop.example/lamp",
        image="https://img.cdn.example/lamp.png",
    )  # fmt: skip
    for link in (
        "https://evil.example/", "//evil.example/", "\\\\evil.example/", "javascript:alert(1)", "https://shop.example@evil.example/",
        "https://shop.example.evil.example/", "https://notshop.example/", "http://[", "ht tp://x", 42, None, "a" * 2000,
    ):  # fmt: skip
        assert "evil" not in link_hosts.shop_url(link), link
    assert link_hosts.shop_url("https://www.shop.example/x") == "https://www.shop.example/x"
    # What a stranger tells of the page of a product reaches nobody else.
    view(2, "stranger", sku="lamp", url="https://evil.example/", name="Free money")
    products.learn_products(NOW)
    sold = SoldProduct.objects.get()
    assert (sold.name, sold.url) == ("A lamp", "https://shop.example/lamp")


def test_the_latest_view_names_the_page_of_a_product(settings) -> None:
    settings.SHOP_URL = "https://shop.example/"
    shop.orders("o1,c2,2026-03-01T10:00:00Z,9")
    shop.lines("o1,lamp,1", "o1,sofa,1")
    view(3, "c1", sku="sofa", url="/sofa-3")
    view(1, "c1", sku="lamp", url="/lamp-1")
    view(2, "c1", sku="lamp", url="/lamp-2")
    view(2, "c3", sku="sofa", url="/sofa-2")

    products.learn_products(NOW)

    pages = {"lamp": "https://shop.example/lamp-2", "sofa": "https://shop.example/sofa-3"}
    assert dict(SoldProduct.objects.values_list("sku", "url")) == pages


def test_strange_events_make_no_strange_products() -> None:
    shop.customers("c1,a@example.com")
    view(0, "c1")
    for number, sku in enumerate((None, ["x"], {"a": 1}, True, "  "), start=1):
        view(number, "c1", sku=sku)
    view(20, "c1", sku=12, price="much", quantity="many")
    view(21, "c1", name="Only a name", price=float(10**12))

    found = recommended("c1", "viewed", 9)

    assert [(one.sku, one.name, one.price) for one in found] == [("", "Only a name", None), ("12", "", None)]
    assert skus("c1", "cart") == skus("c1", "bought_together") == skus("c1", "similar") == []
