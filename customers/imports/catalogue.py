"""The formats that can be imported."""

from collections.abc import Sequence

from customers.rows.kinds import CUSTOMERS, EVENTS, ORDER_LINES, ORDERS

from .formats import Format, PlainFormat
from .mapped_formats import Contacts, Sales
from .shopify import ShopifyCustomers, ShopifyOrders

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        PlainFormat(CUSTOMERS, "Customers"),
        PlainFormat(ORDERS, "Orders"),
        PlainFormat(ORDER_LINES, "Order lines"),
        PlainFormat(EVENTS, "Events"),
        Contacts(),
        Sales(),
        ShopifyCustomers(),
        ShopifyOrders(),
    )
}


def guess_format(header: Sequence[str]) -> Format | None:
    """Return the format that has all required columns and knows most of the others; exact names count more."""
    fitting = [
        one
        for one in FORMATS.values()
        if not one.is_mapped and not one.missing_columns(one.canonical_header(header))
    ]

    def known(one: Format) -> tuple[int, int]:
        columns = set(one.columns)
        return len(columns & set(header)), len(columns & set(one.canonical_header(header)))

    return max(fitting, key=known, default=None)
