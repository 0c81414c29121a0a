"""What a message means here: who is who, what is told of a customer, of an order, and the event it stays.

Pure functions: they know nothing of what is stored.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from customers import exact
from customers.claims import EMAIL, PHONE, Id
from customers.identity import ANONYMOUS_ID, CUSTOMER_ID
from customers.models import Order, OrderNote
from customers.records import Record, Refused, Shop, check_id, is_rounded_id, read_event, read_line

from . import traits
from .messages import Message, an_object, check_text
from .trust import Trusted

Action = OrderNote.Action

_OLD_NAMES: Final = {
    "Viewed Product": "Product Viewed",
    "Added Product": "Product Added",
    "Removed Product": "Product Removed",
    "Viewed Cart": "Cart Viewed",
    "Started Order": "Checkout Started",
    "Completed Order": "Order Completed",
    "Updated Order": "Order Updated",
    "Refunded Order": "Order Refunded",
    "Cancelled Order": "Order Cancelled",
    "Order Canceled": "Order Cancelled",
}
_ACTIONS: Final = {
    "Order Completed": Action.COMPLETED,
    "Order Updated": Action.UPDATED,
    "Order Refunded": Action.REFUNDED,
    "Order Cancelled": Action.CANCELLED,
}
_NAMES: Final = {"page": "Page Viewed", "screen": "Screen Viewed", "group": "Group Joined"}
_CAMPAIGN: Final = {
    "name": "campaign",
    "source": "source",
    "medium": "medium",
    "term": "term",
    "content": "content",
}
_MOST_LINES: Final = 500
_LONGEST_NUMBER: Final = 40
_AMOUNTS: Final = ("total", "revenue", "subtotal", "shipping", "tax", "discount")


@dataclass(frozen=True, slots=True)
class OrderSaid:
    """What a message says of an order, in the words of ``customers.tracking.orders``."""

    order_id: str
    action: str
    is_trusted: bool
    told: Mapping[str, Any]


@dataclass(slots=True)
class Meaning:
    """What a message means. ``event`` is a record to ingest; ``complaints`` are about what could not be read."""

    message: Message
    whose: Id
    by_server: bool
    claims: list[tuple[Id, Id]] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    order: OrderSaid | None = None
    event: Record | None = None
    complaints: list[str] = field(default_factory=list)


def translate(trusted: Trusted, shop: Shop) -> Meaning:
    """Translate a message; raises Refused where nothing of it can be taken."""
    message = trusted.message
    visitor, customer = Id(ANONYMOUS_ID, message.anonymous_id), Id(CUSTOMER_ID, message.user_id)
    meaning = Meaning(
        message,
        customer if message.user_id else visitor,
        trusted.by_server,
        complaints=[*message.complaints],
    )
    if message.user_id and message.anonymous_id:
        meaning.claims.append((visitor, customer))
    meaning.told = traits.told_aside(message)
    match message.type:
        case "identify":
            _identify(meaning, shop)
        case "alias":
            _alias(meaning, trusted)
        case _:
            _happen(meaning, trusted, shop)
    return meaning


def _identify(meaning: Meaning, shop: Shop) -> None:
    told, complaints = traits.read(meaning.message, shop)
    meaning.complaints += complaints
    meaning.told |= told
    if meaning.by_server:
        if email := told.get("email"):
            meaning.claims.append((meaning.whose, Id(EMAIL, email)))
        # Only a number that is the same for the whole world leads to one person.
        if (phone := told.get("phone")) and (number := traits.e164(phone, "")):
            meaning.claims.append((meaning.whose, Id(PHONE, number)))


def _alias(meaning: Meaning, trusted: Trusted) -> None:
    message = meaning.message
    meaning.told["first_seen"] = message.at.isoformat()
    previous = str(message.body["previousId"]).strip()
    # A browser may speak for itself; whose ids others are, only who is trusted knows.
    may_say = trusted.by_server or trusted.is_signed or previous == message.anonymous_id
    if may_say and message.user_id and previous != message.user_id:
        meaning.claims.append((Id(ANONYMOUS_ID, previous), Id(CUSTOMER_ID, message.user_id)))


def _happen(meaning: Meaning, trusted: Trusted, shop: Shop) -> None:
    message = meaning.message
    name = _NAMES.get(message.type) or str(message.body["event"]).strip()
    name = _OLD_NAMES.get(name, name)
    properties = _properties(message)
    try:
        written = json.dumps(properties, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise Refused("properties: a number is out of range") from None
    check_text(written, "properties")
    if message.type == "track" and (action := _ACTIONS.get(name)):
        meaning.order = _order(action, properties, trusted, shop)
    meaning.event = read_event(
        {
            "message_id": message.message_id,
            "customer_id": message.user_id,
            "anonymous_id": "" if message.user_id else message.anonymous_id,
            "event": name,
            "occurred_at": message.at.isoformat(),
            "properties": written,
        },
        shop,
    )


def _properties(message: Message) -> dict[str, Any]:
    body = message.body
    given = body.get("traits" if message.type == "group" else "properties")
    if not given and isinstance(given, list):
        given = None  # PHP writes an empty object as an empty list
    if not isinstance(given, dict | None):
        raise Refused("properties: expected a JSON object")
    properties = {**(given or {})}
    for name in ("name", "category") if message.type in ("page", "screen") else ():
        if body.get(name) is not None:
            properties.setdefault(name, body[name])
    if message.type == "group":
        properties["group_id"] = body.get("groupId")
    for name, value in an_object(message.context.get("campaign")).items():
        if isinstance(value, str) and value and name in _CAMPAIGN:
            properties.setdefault(f"utm_{_CAMPAIGN[name]}", value)
    return properties


# -- Orders


def _order(action: str, properties: Mapping[str, Any], trusted: Trusted, shop: Shop) -> OrderSaid | None:
    given = properties.get("order_id", properties.get("orderId"))
    if given is None or isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        return None  # it happened, but to no order that anybody could name
    order_id = str(given).strip()
    check_id(order_id, "properties.order_id")
    items = _items(properties)
    if action == Action.REFUNDED:
        told = _refund(properties, items)
    elif action == Action.CANCELLED:
        told = {}
    else:
        told = _sale(properties, items, shop)
    return OrderSaid(order_id, action, trusted.is_signed, told)


def _items(properties: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    products = properties.get("products")
    listed = products if isinstance(products, list) else []
    items: list[Mapping[str, Any]] = [item for item in listed if isinstance(item, dict)]
    if len(items) > _MOST_LINES:
        raise Refused(f"properties.products: more than {_MOST_LINES}")
    return items


def _sale(properties: Mapping[str, Any], items: list[Mapping[str, Any]], shop: Shop) -> dict[str, Any]:
    amounts = {name: _amount(properties, name) for name in _AMOUNTS}
    told: dict[str, Any] = {
        "total": _total(amounts, items),
        "discount": amounts["discount"],
        "currency": _currency(properties),
        "coupon": _text(properties, "coupon"),
        "status": properties.get("status") if properties.get("status") in Order.Status.values else None,
        "lines": list(_lines(items, shop)),
    }
    return {name: value for name, value in told.items() if value not in (None, [])}


def _total(amounts: Mapping[str, int | None], items: list[Mapping[str, Any]]) -> int | None:
    """Give what was paid: the total, else what it is made of."""
    if amounts["total"] is not None:
        return amounts["total"]
    beside = (amounts["shipping"] or 0) + (amounts["tax"] or 0)
    if amounts["revenue"] is not None:  # of it, discounts are taken already
        return amounts["revenue"] + beside
    if amounts["subtotal"] is not None:
        return amounts["subtotal"] + beside - (amounts["discount"] or 0)
    prices = [_amount(item, "price") for item in items]
    if not items or None in prices:
        return None
    return sum(map(_value, items)) + beside - (amounts["discount"] or 0)


def _value(item: Mapping[str, Any]) -> int:
    price, quantity = _amount(item, "price"), _amount(item, "quantity")
    value = Decimal(price or 0) * Decimal(exact.SCALE if quantity is None else quantity) / exact.SCALE
    return exact.to_units(value / exact.SCALE)


def _refund(properties: Mapping[str, Any], items: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the amount of a refund, or its lines to be priced by the order's; neither is a refund of it all."""
    amounts = [_amount(properties, name) for name in ("total", "revenue", "value")]
    amount = next((one for one in amounts if one is not None), None)
    if amount is not None:
        return {"amount": abs(amount)}
    if not items:
        return {}
    lines = [[_sku(item), _amount(item, "quantity"), _amount(item, "price")] for item in items]
    return {"lines": lines}


def _lines(items: list[Mapping[str, Any]], shop: Shop) -> Iterator[dict[str, str]]:
    for item in items:
        row = {
            "order_id": "-",
            "sku": _sku(item),
            **{name: _text(item, name) or "" for name in ("name", "category", "brand")},
            **{
                column: str(exact.from_units(units))
                for column, name in (("quantity", "quantity"), ("unit_price", "price"))
                if (units := _amount(item, name)) is not None
            },
        }
        read_line(row, shop)  # refuses what no line can hold
        yield row


def _sku(item: Mapping[str, Any]) -> str:
    ids = (_text(item, name) or "" for name in ("sku", "product_id", "productId", "id"))
    return next((text for text in ids if text and not is_rounded_id(text)), "")


def _text(properties: Mapping[str, Any], name: str) -> str | None:
    value = properties.get(name)
    return None if value is None or isinstance(value, dict | list) else traits.as_text(value) or None


def _currency(properties: Mapping[str, Any]) -> str | None:
    text = (_text(properties, "currency") or "").upper()
    if text and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise Refused(f"properties.currency: {text[:60]!r} is no code of three letters, such as EUR")
    return text or None


def _amount(properties: Mapping[str, Any], name: str) -> int | None:
    """Read an amount as ten-thousandths, rounded half away from zero."""
    value = properties.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        text = value.strip() if isinstance(value, str) else repr(value)
        number = Decimal(text)
        if len(text) > _LONGEST_NUMBER or not number.is_finite() or abs(number) >= exact.LARGEST:
            raise ValueError
        return exact.to_units(number) if number.adjusted() >= -exact.PLACES - 1 else 0
    except (ValueError, ArithmeticError):
        raise Refused(f"properties.{name}: {str(value)[:60]!r} is no amount, such as 1234.50") from None
