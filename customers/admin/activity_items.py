"""Events and orders as items of a timeline: a title, a subject, an amount, and other properties."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from core.templatetags.display import amount, number, plain
from customers.models import Event, Order

MAX_DETAILS = 12
MAX_AMOUNT = Decimal(10) ** 12

# Properties of Segment's e-commerce specification; the first one with a value counts.
SUBJECTS = (
    "name",
    "product_name",
    "title",
    "path",
    "url",
    "query",
    "category",
    "sku",
    "product_id",
    "order_id",
)
AMOUNTS = ("total", "revenue", "value", "price")
SYMBOLS = {
    "Product Viewed": "visibility",
    "Product Added": "add_shopping_cart",
    "Product Removed": "remove_shopping_cart",
    "Cart Viewed": "shopping_cart",
    "Checkout Started": "shopping_cart_checkout",
    "Order Completed": "receipt_long",
    "Page Viewed": "web",
    "Products Searched": "search",
}
OTHER_SYMBOL, ORDER_SYMBOL = "bolt", "shopping_bag"


@dataclass(frozen=True)
class ActivityItem:
    """An event or an order; ``details`` are the properties that are not in the subject or the amount."""

    at: datetime
    symbol: str
    title: str
    subject: str
    amount: str
    details: tuple[tuple[str, str], ...] = ()
    order: Order | None = None


def activity_item(record: Event | Order) -> ActivityItem:
    return _order_item(record) if isinstance(record, Order) else _event_item(record)


def _order_item(order: Order) -> ActivityItem:
    return ActivityItem(
        at=order.placed_at,
        symbol=ORDER_SYMBOL,
        title=f"Order {order.order_id}",
        subject="Draft: only a browser has reported it" if order.is_draft else order.get_status_display(),
        amount=amount(order.total, order.currency),
        order=order,
    )


def _event_item(event: Event) -> ActivityItem:
    properties: Mapping[str, Any] = event.properties
    subject_property = next((name for name in SUBJECTS if properties.get(name) not in (None, "")), "")
    amount_property = next((name for name in AMOUNTS if _money(properties.get(name)) is not None), "")
    return ActivityItem(
        at=event.occurred_at,
        symbol=SYMBOLS.get(event.name, OTHER_SYMBOL),
        title=event.name,
        subject=_subject(properties, subject_property),
        amount=_amount(properties, amount_property),
        details=tuple(_details(properties, {subject_property, amount_property, "currency"})),
    )


def _subject(properties: Mapping[str, Any], subject_property: str) -> str:
    if subject_property:
        return plain(properties[subject_property])
    products = properties.get("products")
    return f"{len(products)} product{'s' * (len(products) != 1)}" if isinstance(products, list) else ""


def _amount(properties: Mapping[str, Any], amount_property: str) -> str:
    money = _money(properties.get(amount_property))
    if money is None:
        return ""
    currency = properties.get("currency")
    written = amount(money, currency if isinstance(currency, str) else "")
    quantity = _money(properties.get("quantity")) if amount_property == "price" else None
    return f"{number(quantity)} × {written}" if quantity not in (None, 1) else written


def _money(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        money = Decimal(str(value))
    except InvalidOperation:
        return None
    return money if money.is_finite() and abs(money) < MAX_AMOUNT else None


def _details(properties: Mapping[str, Any], shown: set[str]) -> Iterator[tuple[str, str]]:
    others = [name for name, value in properties.items() if name not in shown and value not in (None, "", [])]
    for name in others[:MAX_DETAILS]:
        yield name.replace("_", " "), _detail(name, properties[name])


def _detail(name: str, value: Any) -> str:
    if name == "products" and isinstance(value, list):
        products = [one for one in value if isinstance(one, Mapping)]
        return ", ".join(plain(one.get("name") or one.get("sku") or "?") for one in products[:MAX_DETAILS])
    return plain(value)
