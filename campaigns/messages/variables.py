"""The values a message may use, and where each comes from for one customer at one instant."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist

from campaigns.models import Campaign
from campaigns.recommendations.products import Product
from campaigns.recommendations.recommender import Shopper
from core.values.decimals import from_units
from customers.models import Customer

from . import plain_text
from .template_language import Each, Free, FreeParts, Items, Known, Missing, Parts

MOST_PRODUCTS: Final = 6
LONGEST_ATTRIBUTE: Final = 1_000

_PERSON: Final[Mapping[str, str]] = {
    "first_name": "the first name",
    "last_name": "the last name",
    "name": "both names",
    "email": "the e-mail address",
    "country": "as the shop gave it",
    "city": "as the shop gave it",
    "language": "as the shop gave it",
    "birth_date": "a day, for `date`",
}
_PRODUCT: Final[Mapping[str, str]] = {
    "name": "what it is called",
    "sku": "its number",
    "category": "as orders and events name it",
    "brand": "as orders and events name it",
    "price": "an amount, for `amount`",
    "url": "its page in the shop",
    "image": "the address of its picture",
    "quantity": "how many, of those in a cart or an order",
}

_TEXTS_OF_PRODUCTS: Final = ("name", "sku", "category", "brand")

KNOWN: Final[Mapping[str, Known]] = {
    "customer": Parts("who gets the message; every part may also stand alone, such as `first_name`", _PERSON),
    **_PERSON,
    "attributes": Free("whatever else the shop knows of the customer, by its name: `attributes.tier`"),
    "shop": Parts(
        "the shop, as the settings say",
        {"name": "`SHOP_NAME`", "url": "`SHOP_URL`", "address": "`SHOP_ADDRESS`", "currency": "`SHOP_CURRENCY`"},
    ),
    "viewed": Each("what they looked at in the last 90 days and did not buy, the latest first", _PRODUCT),
    "cart": Each("what lies in their cart, the latest first", _PRODUCT),
    "bought": Each("what their latest order holds", _PRODUCT),
    "new": Each(
        "what came into the shop in the last 30 days, first of the same categories and brands as theirs", _PRODUCT
    ),
    "recommended": Each(
        "what goes with theirs, then what is like it, then what is bought most; nothing they have", _PRODUCT
    ),
    "similar": Each("what is of the same category or brand as theirs; nothing they have", _PRODUCT),
    "order_count": "how many orders count",
    "total_spent": "what these were worth, for `amount`",
    "last_order": Parts(
        "the latest order that counts",
        {"number": "its number", "date": "a day, for `date`", "total": "an amount, for `amount`"},
    ),
    "coupon": "a code of the campaign's pool, this customer's own",
    "coupon_worth": "what it is worth, as the pool says",
    "coupon_last_day": "the last day of the pool's codes, for `date`",
    "answers": Free("what staff have filled in before the start, by its name: `answers.news`"),
    "unsubscribe_url": "where this customer ends the newsletter; every e-mail ends with it anyway",
}  # fmt: skip
_NAMES: Final = ("first_name", "last_name", "country", "city", "language")


@dataclass(frozen=True)
class Addressee:
    """Whom a message is for, and what only its sending knows. ``coupon`` is asked for a code where one is used."""

    customer: Customer
    at: datetime
    campaign: Campaign | None
    coupon: Callable[[], str]
    unsubscribe_url: str


def of(names: Iterable[str], addressee: Addressee) -> dict[str, Any]:
    """Find the values of names; what nobody asks for is not looked up."""
    finder = _Finder(addressee)
    return {name: _FINDERS[name](finder) for name in names}


class _Finder:
    """Finds values; what several are made of is read once."""

    def __init__(self, addressee: Addressee) -> None:
        self.addressee, self.customer = addressee, addressee.customer

    @cached_property
    def shopper(self) -> Shopper:
        return Shopper(self.customer, self.addressee.at)

    def person(self, name: str) -> Any:
        """Find a value of the person; whoever signs up somebody else's address must not send them a link for a name."""
        if name == "name":
            names = [plain_text.name(self.customer.first_name), plain_text.name(self.customer.last_name)]
            both = " ".join(filter(None, names))
            value: Any = both if len(both) <= plain_text.LONGEST_NAME else names[0]
        else:
            value = getattr(self.customer, name)
            value = plain_text.name(value) if name in _NAMES else value
        return _or_missing(name, value)

    def persons(self) -> Mapping[str, Any]:
        return {name: self.person(name) for name in _PERSON}

    def attributes(self) -> Mapping[str, Any]:
        given = self.customer.attributes.items()
        plain = {
            name: plain_text.text(value[:LONGEST_ATTRIBUTE]) if isinstance(value, str) else value
            for name, value in given
            if isinstance(value, str | int | float)
        }
        return FreeParts("attributes", {name: value for name, value in plain.items() if value != ""})

    def shop(self) -> Mapping[str, Any]:
        return {
            name: _or_missing(f"shop.{name}", getattr(settings, f"SHOP_{name.upper()}"))
            for name in ("name", "url", "address", "currency")
        }

    def recommended(self) -> list[Product]:
        found: dict[str, Product] = {}
        for kind in (self.shopper.bought_together, self.shopper.similar, self.shopper.popular):
            if len(found) < MOST_PRODUCTS:
                for product in kind(MOST_PRODUCTS):
                    found.setdefault(product.key, product)
        return list(found.values())[:MOST_PRODUCTS]

    def fact(self, name: str) -> int:
        try:
            return int(getattr(self.customer.facts, name))
        except ObjectDoesNotExist:  # nothing was summed up yet
            return 0

    def last_order(self) -> Any:
        order = self.shopper.last_order
        if order is None:
            return Missing("last_order")
        return {
            "number": plain_text.line(order.order_id),
            "date": order.placed_at,
            "total": _readable(order.total),
        }

    def coupon_worth(self) -> Any:
        campaign = self.addressee.campaign
        pool = campaign.pool if campaign else None
        return _or_missing("coupon_worth", plain_text.line(pool.description, 200) if pool else "")

    def coupon_last_day(self) -> Any:
        campaign = self.addressee.campaign
        return _or_missing("coupon_last_day", campaign.pool.last_day if campaign and campaign.pool else None)

    def answers(self) -> Mapping[str, Any]:
        """Find what staff have filled in, who may write links as they may in the template."""
        given = self.addressee.campaign.answers if self.addressee.campaign else {}
        return FreeParts("answers", {name: said for name, said in given.items() if said})


def _products(name: str, find: Callable[[_Finder], list[Product]]) -> Callable[[_Finder], Items]:
    """Find products; one that is called by an address alone has no name that could stand in a message."""

    def found(finder: _Finder) -> Items:
        told = (_told(product) for product in find(finder))
        return Items(name, [one for one in told if one["name"] or one["sku"]])

    return found


def _of_person(name: str) -> Callable[[_Finder], Any]:
    return lambda finder: finder.person(name)


def _told(product: Product) -> Mapping[str, Any]:
    told = {part: getattr(product, part) for part in _PRODUCT}
    told |= {part: plain_text.line(told[part]) for part in _TEXTS_OF_PRODUCTS}
    told["price"], told["quantity"] = _readable(product.price), _readable(product.quantity)
    return {part: _or_missing(f"product.{part}", value) for part, value in told.items()}


def _readable(number: Decimal | None) -> Decimal | None:
    """Write 12.5000 as 12.50, and 2.0000 as 2.00: prices; a quantity that is whole without decimals."""
    if number is None:
        return None
    return number.quantize(Decimal("0.01")) if number == round(number, 2) else number


def _or_missing(name: str, value: Any) -> Any:
    return Missing(name) if value is None or value == "" else value


_FINDERS: Final[Mapping[str, Callable[[_Finder], Any]]] = {
    "customer": _Finder.persons,
    **{name: _of_person(name) for name in _PERSON},
    "attributes": _Finder.attributes,
    "shop": _Finder.shop,
    "viewed": _products("viewed", lambda finder: finder.shopper.viewed(MOST_PRODUCTS)),
    "cart": _products("cart", lambda finder: finder.shopper.cart(MOST_PRODUCTS)),
    "bought": _products("bought", lambda finder: finder.shopper.last_bought(MOST_PRODUCTS)),
    "new": _products("new", lambda finder: finder.shopper.new(MOST_PRODUCTS)),
    "recommended": _products("recommended", _Finder.recommended),
    "similar": _products("similar", lambda finder: finder.shopper.similar(MOST_PRODUCTS)),
    "order_count": lambda finder: finder.fact("order_count"),
    "total_spent": lambda finder: _readable(from_units(finder.fact("total_spent"))),
    "last_order": _Finder.last_order,
    "coupon": lambda finder: finder.addressee.coupon(),
    "coupon_worth": _Finder.coupon_worth,
    "coupon_last_day": _Finder.coupon_last_day,
    "answers": _Finder.answers,
    "unsubscribe_url": lambda finder: finder.addressee.unsubscribe_url,
}
