"""What a message reports about an order: a sale, a refund or a cancellation.

The functions are pure: they do not read the database.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from core.values import decimals
from core.values.text_cleaning import clean_text
from customers.models import Order, OrderMessage
from customers.rows.cells import MAX_TEXT, InvalidRow, check_id, is_rounded_id
from customers.rows.kinds import ORDER_LINES, read_row
from customers.rows.settings import ShopSettings

from . import traits
from .permissions import AuthorizedMessage

Action = OrderMessage.Action

_MAX_ORDER_LINES: Final = 500
_MAX_NUMBER_LENGTH: Final = 40
_TOTAL_PARTS: Final = ("shipping", "tax", "discount")

Item = tuple[str, Mapping[str, Any]]
"""The path of a product of an order, and the product."""


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What a message reports about an order; ``values`` as ``customers.tracking.order_messages`` reads them."""

    order_id: str
    action: str
    is_trusted: bool
    is_signed: bool
    values: Mapping[str, Any]


def interpret_order(
    action: str,
    properties: Mapping[str, Any],
    authorized: AuthorizedMessage,
    shop: ShopSettings,
    problems: list[str],
) -> OrderReport | None:
    """Return what a message reports about an order, or None if it names none. Raises InvalidRow."""
    given = properties.get("order_id", properties.get("orderId"))
    if given is None or isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        return None  # without an id, it is only an event
    order_id = check_id(str(given).strip(), "properties.order_id")
    parser = _OrderParser(properties, shop, problems)
    if action == Action.REFUNDED:
        values = parser.refund()
    elif action == Action.CANCELLED:
        values = {}
    else:
        values = parser.sale()
    return OrderReport(order_id, action, authorized.may_confirm_orders, authorized.is_signed, values)


class _OrderParser:
    """Parses what a message reports about an order. Invalid optional values are skipped and added to ``problems``."""

    def __init__(self, properties: Mapping[str, Any], shop: ShopSettings, problems: list[str]) -> None:
        self.properties, self.shop, self.problems = properties, shop, problems
        products = properties.get("products")
        listed = products if isinstance(products, list) else []
        self.items: list[Item] = [
            (f"properties.products[{index}]", item)
            for index, item in enumerate(listed)
            if isinstance(item, dict) and item
        ]
        if len(self.items) > _MAX_ORDER_LINES:
            raise InvalidRow(f"properties.products: more than {_MAX_ORDER_LINES}")

    def sale(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "total": self._total(),
            "discount": self._amount("discount"),
            "currency": self._currency(),
            "coupon": self._text("coupon"),
            "status": self._status(),
            "lines": list(self._lines()),
        }
        return {name: value for name, value in values.items() if value not in (None, [])}

    def refund(self) -> dict[str, Any]:
        """Return the amount of a refund, or its lines, which the order prices. Neither means a full refund.

        Raises InvalidRow if an amount is invalid: without it, too much would be refunded.
        """
        for name in ("total", "revenue", "value"):
            if (amount := _parse_amount(self.properties, name)) is not None:
                return {"amount": abs(amount)}
        if not self.items:
            return {}
        lines = [
            [_sku(item), _parse_amount(item, "quantity", path), _parse_amount(item, "price", path)]
            for path, item in self.items
        ]
        return {"lines": lines}

    def _total(self) -> int | None:
        """Return what was paid: the total, or else the sum of its parts.

        Raises InvalidRow if something is given, but neither can be computed.
        """
        total = _parse_amount(self.properties, "total")
        parts = {name: self._amount(name) for name in _TOTAL_PARTS}
        if total is not None:
            return total
        before = len(self.problems)
        beside = (parts["shipping"] or 0) + (parts["tax"] or 0)
        if (revenue := self._amount("revenue")) is not None:  # discounts are already subtracted
            return revenue + beside
        if (subtotal := self._amount("subtotal")) is not None:
            return subtotal + beside - (parts["discount"] or 0)
        values = [self._value(path, item) for path, item in self.items]
        if values and None not in values:
            return sum(value or 0 for value in values) + beside - (parts["discount"] or 0)
        if len(self.problems) > before:
            raise InvalidRow(self.problems[before])
        return None

    def _value(self, path: str, item: Mapping[str, Any]) -> int | None:
        try:
            price, quantity = _parse_amount(item, "price", path), _parse_amount(item, "quantity", path)
        except InvalidRow as error:
            self._add_problem(str(error))
            return None
        if price is None:
            return None
        value = Decimal(price) * Decimal(decimals.SCALE if quantity is None else quantity) / decimals.SCALE
        return decimals.to_units(value / decimals.SCALE)

    def _lines(self) -> Iterator[dict[str, str]]:
        for path, item in self.items:
            row = {
                "order_id": "-",
                "sku": _sku(item),
                **{name: self._text(name, item, path) or "" for name in ("name", "category", "brand")},
                **{
                    column: str(decimals.from_units(units))
                    for column, name in (("quantity", "quantity"), ("unit_price", "price"))
                    if (units := self._amount(name, item, path)) is not None
                },
            }
            invalid_values: list[str] = []
            try:
                kept, _ = read_row(ORDER_LINES, row, self.shop, invalid_values)
                yield dict(kept)
            except InvalidRow as error:
                invalid_values.append(str(error))
            for reason in invalid_values:
                self._add_problem(f"{path}.{reason}")

    def _amount(
        self, name: str, properties: Mapping[str, Any] | None = None, path: str = "properties"
    ) -> int | None:
        try:
            return _parse_amount(self.properties if properties is None else properties, name, path)
        except InvalidRow as error:
            self._add_problem(str(error))
            return None

    def _text(
        self, name: str, properties: Mapping[str, Any] | None = None, path: str = "properties"
    ) -> str | None:
        value = (self.properties if properties is None else properties).get(name)
        if isinstance(value, dict | list) and value:
            self._add_problem(f"{path}.{name}: expected a text")
            return None
        text = None if isinstance(value, dict | list) else _parse_text({name: value}, name)
        if text and name == "coupon" and len(text) > MAX_TEXT:
            self._add_problem(f"{path}.{name}: longer than {MAX_TEXT} characters")
            return None
        return text

    def _currency(self) -> str | None:
        text = clean_text(self._text("currency") or "").upper()
        if text and not (len(text) == 3 and text.isascii() and text.isalpha()):
            self._add_problem(
                f"properties.currency: {text[:60]!r} is not a three-letter currency code such as EUR"
            )
            return None
        return text or None

    def _status(self) -> str | None:
        status = clean_text(self._text("status") or "").casefold()
        if status and status not in Order.Status.values:
            self._add_problem(
                f"properties.status: {status[:60]!r} is not one of {', '.join(sorted(Order.Status.values))}"
            )
            return None
        return status or None

    def _add_problem(self, reason: str) -> None:
        if reason not in self.problems:
            self.problems.append(reason)


def _sku(item: Mapping[str, Any]) -> str:
    ids = (_parse_text(item, name) or "" for name in ("sku", "product_id", "productId", "id"))
    return next((text for text in ids if text and not is_rounded_id(text)), "")


def _parse_text(properties: Mapping[str, Any], name: str) -> str | None:
    value = properties.get(name)
    return None if value is None or isinstance(value, dict | list) else traits.value_as_text(value) or None


def _parse_amount(properties: Mapping[str, Any], name: str, path: str = "properties") -> int | None:
    """Return an amount in ten-thousandths, rounded half away from zero."""
    value = properties.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        text = clean_text(value) if isinstance(value, str) else repr(value)
        number = Decimal(text)
        if len(text) > _MAX_NUMBER_LENGTH or not number.is_finite() or abs(number) >= decimals.MAX_AMOUNT:
            raise ValueError
        return decimals.to_units(number) if number.adjusted() >= -decimals.DECIMAL_PLACES - 1 else 0
    except (ValueError, ArithmeticError):
        raise InvalidRow(f"{path}.{name}: {str(value)[:60]!r} is not an amount, such as 1234.50") from None
