"""The variables of messages, and how each is resolved for one customer at one instant."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from django.core.exceptions import ObjectDoesNotExist

from campaigns.models import Campaign
from campaigns.recommendations.products import Product
from campaigns.recommendations.recommender import CustomerProducts
from core.shop import shop
from core.values.decimals import from_units
from customers.models import Customer

from . import plain_text
from .template_filters import SENT_AT
from .variable_types import (
    ListValue,
    ListVariable,
    Missing,
    ObjectVariable,
    OpenValue,
    OpenVariable,
    VariableType,
)

MAX_PRODUCTS: Final = 6
MAX_ATTRIBUTE_LENGTH: Final = 1_000

_PROFILE: Final[Mapping[str, str]] = {
    "first_name": "the first name",
    "last_name": "the last name",
    "name": "both names",
    "email": "the e-mail address",
    "country": "as sent by the shop",
    "city": "as sent by the shop",
    "language": "as sent by the shop",
    "birth_date": "a date; format it with `date`",
}
_PRODUCT: Final[Mapping[str, str]] = {
    "name": "the name",
    "sku": "the sku",
    "category": "from orders and events",
    "brand": "from orders and events",
    "price": "an amount; format it with `money`",
    "url": "its page in the shop",
    "image": "the URL of its picture",
    "quantity": "the quantity in the cart or order",
}

_PRODUCT_TEXTS: Final = ("name", "sku", "category", "brand")

VARIABLES: Final[Mapping[str, VariableType]] = {
    "customer": ObjectVariable("the customer; each part also works alone, such as `first_name`", _PROFILE),
    **_PROFILE,
    "attributes": OpenVariable("the customer's attributes by name: `attributes.tier`"),
    "shop": ObjectVariable(
        "the shop, from its settings",
        {
            "name": "its name", "url": "its front page", "address": "its postal address",
            "currency": "the currency of amounts", "logo": "the URL of its logo",
        },
    ),
    "viewed": ListVariable("products viewed in the last 90 days and not bought, the latest first", _PRODUCT),
    "cart": ListVariable("products in the cart, the latest first", _PRODUCT),
    "bought": ListVariable("products of the latest order", _PRODUCT),
    "new": ListVariable(
        "products new in the last 30 days, first those of the customer's categories and brands", _PRODUCT
    ),
    "recommended": ListVariable(
        "products bought together with the customer's, then similar ones, then the most bought;"
        " never ones that the customer has",
        _PRODUCT,
    ),
    "similar": ListVariable("products of the same category or brand that the customer does not have", _PRODUCT),
    "order_count": "the number of counting orders",
    "total_spent": "their total value; format it with `money`",
    "last_order": ObjectVariable(
        "the latest counting order",
        {
            "number": "the order id",
            "date": "a date; format it with `date`",
            "total": "an amount; format it with `money`",
        },
    ),
    "coupon": "the customer's own code of the campaign's pool",
    "coupon_worth": "what the code gives, from the pool",
    "coupon_last_day": "the last day of the pool's codes; format it with `date`",
    "answers": OpenVariable("answers of staff by name: `answers.news`"),
    "unsubscribe_url": "the unsubscribe link; every e-mail has one at its end anyway",
}  # fmt: skip
_PROFILE_TEXTS: Final = ("first_name", "last_name", "country", "city", "language")


@dataclass(frozen=True)
class Recipient:
    """The customer of a message, and what depends on its delivery. ``coupon`` is called if a code is used."""

    customer: Customer
    at: datetime
    campaign: Campaign | None
    coupon: Callable[[], str]
    unsubscribe_url: str


def resolve_variables(names: Iterable[str], recipient: Recipient) -> dict[str, Any]:
    """Return the values of these variables and the instant of sending; no others are looked up."""
    resolver = _Resolver(recipient)
    return {name: _RESOLVERS[name](resolver) for name in names} | {SENT_AT: recipient.at}


class _Resolver:
    """Resolves variables; data that several need is read once."""

    def __init__(self, recipient: Recipient) -> None:
        self.recipient, self.customer = recipient, recipient.customer

    @cached_property
    def products(self) -> CustomerProducts:
        return CustomerProducts(self.customer, self.recipient.at)

    def profile_value(self, name: str) -> Any:
        """Return profile data, cleaned: a name must not carry a link to somebody whose address was signed up."""
        if name == "name":
            names = [
                plain_text.safe_name(self.customer.first_name),
                plain_text.safe_name(self.customer.last_name),
            ]
            both = " ".join(filter(None, names))
            value: Any = both if len(both) <= plain_text.MAX_NAME_LENGTH else names[0]
        else:
            value = getattr(self.customer, name)
            value = plain_text.safe_name(value) if name in _PROFILE_TEXTS else value
        return _or_missing(name, value)

    def profile(self) -> Mapping[str, Any]:
        return {name: self.profile_value(name) for name in _PROFILE}

    def attributes(self) -> Mapping[str, Any]:
        plain = {
            name: plain_text.safe_text(value[:MAX_ATTRIBUTE_LENGTH]) if isinstance(value, str) else value
            for name, value in self.customer.attributes.items()
            if isinstance(value, str | int | float)
        }
        return OpenValue("attributes", {name: value for name, value in plain.items() if value != ""})

    def shop(self) -> Mapping[str, Any]:
        return {
            name: _or_missing(f"shop.{name}", getattr(shop(), name))
            for name in ("name", "url", "address", "currency", "logo")
        }

    def recommended(self) -> list[Product]:
        products: dict[str, Product] = {}
        for recommend in (self.products.bought_together, self.products.similar, self.products.popular):
            if len(products) < MAX_PRODUCTS:
                for product in recommend(MAX_PRODUCTS):
                    products.setdefault(product.key, product)
        return list(products.values())[:MAX_PRODUCTS]

    def fact(self, name: str) -> int:
        try:
            return int(getattr(self.customer.facts, name))
        except ObjectDoesNotExist:  # no facts yet
            return 0

    def last_order(self) -> Any:
        order = self.products.last_order
        if order is None:
            return Missing("last_order")
        return {
            "number": plain_text.safe_line(order.order_id),
            "date": order.placed_at,
            "total": _round_amount(order.total),
        }

    def coupon_worth(self) -> Any:
        campaign = self.recipient.campaign
        pool = campaign.pool if campaign else None
        return _or_missing("coupon_worth", plain_text.safe_line(pool.description, 200) if pool else "")

    def coupon_last_day(self) -> Any:
        campaign = self.recipient.campaign
        return _or_missing("coupon_last_day", campaign.pool.last_day if campaign and campaign.pool else None)

    def answers(self) -> Mapping[str, Any]:
        """Return what staff have filled in; unlike profile data, it may contain links."""
        answers = self.recipient.campaign.answers if self.recipient.campaign else {}
        return OpenValue("answers", {name: text for name, text in answers.items() if text})


def _product_resolver(
    name: str, find: Callable[[_Resolver], list[Product]]
) -> Callable[[_Resolver], ListValue]:
    """Return a resolver of products; it skips products without a printable name."""

    def resolve(resolver: _Resolver) -> ListValue:
        products = map(_product_values, find(resolver))
        return ListValue(name, [product for product in products if product["name"] or product["sku"]])

    return resolve


def _profile_resolver(name: str) -> Callable[[_Resolver], Any]:
    return lambda resolver: resolver.profile_value(name)


def _product_values(product: Product) -> Mapping[str, Any]:
    values = {part: getattr(product, part) for part in _PRODUCT}
    values |= {part: plain_text.safe_line(values[part]) for part in _PRODUCT_TEXTS}
    values["price"], values["quantity"] = _round_amount(product.price), _round_amount(product.quantity)
    return {part: _or_missing(f"product.{part}", value) for part, value in values.items()}


def _round_amount(number: Decimal | None) -> Decimal | None:
    """Round to two decimals where that loses nothing."""
    if number is None:
        return None
    return number.quantize(Decimal("0.01")) if number == round(number, 2) else number


def _or_missing(name: str, value: Any) -> Any:
    return Missing(name) if value is None or value == "" else value


_RESOLVERS: Final[Mapping[str, Callable[[_Resolver], Any]]] = {
    "customer": _Resolver.profile,
    **{name: _profile_resolver(name) for name in _PROFILE},
    "attributes": _Resolver.attributes,
    "shop": _Resolver.shop,
    "viewed": _product_resolver("viewed", lambda resolver: resolver.products.viewed(MAX_PRODUCTS)),
    "cart": _product_resolver("cart", lambda resolver: resolver.products.cart(MAX_PRODUCTS)),
    "bought": _product_resolver("bought", lambda resolver: resolver.products.last_bought(MAX_PRODUCTS)),
    "new": _product_resolver("new", lambda resolver: resolver.products.new(MAX_PRODUCTS)),
    "recommended": _product_resolver("recommended", _Resolver.recommended),
    "similar": _product_resolver("similar", lambda resolver: resolver.products.similar(MAX_PRODUCTS)),
    "order_count": lambda resolver: resolver.fact("order_count"),
    "total_spent": lambda finder: _round_amount(from_units(finder.fact("total_spent"))),
    "last_order": _Resolver.last_order,
    "coupon": lambda resolver: resolver.recipient.coupon(),
    "coupon_worth": _Resolver.coupon_worth,
    "coupon_last_day": _Resolver.coupon_last_day,
    "answers": _Resolver.answers,
    "unsubscribe_url": lambda resolver: resolver.recipient.unsubscribe_url,
}
