"""The kinds of records: their columns, keys and CSV columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.values import phone_numbers

from .cells import InvalidRow
from .parsing import CUSTOMER_CSV_COLUMNS, Record, read_customer, read_event, read_line, read_order
from .settings import ShopSettings


@dataclass(frozen=True)
class Kind:
    """One kind of record: its columns in staging and in CSV, and how to read a row of text.

    ``key`` names the columns that identify a record; another row with the same key updates it. A row with an invalid
    value in an ``essential`` column is rejected; an invalid value in any other column is skipped.
    """

    name: str
    columns: tuple[str, ...]
    csv_columns: tuple[str, ...]
    required: tuple[str, ...]
    key: tuple[str, ...]
    essential: frozenset[str]
    read: Callable[[Mapping[str, str], ShopSettings], Record]


def read_row(
    kind: Kind, row: Mapping[str, str], shop: ShopSettings, skipped: list[str]
) -> tuple[Mapping[str, str], Record]:
    """Read a row, skipping invalid optional values. Return the row without them, and the record.

    Append to ``skipped`` why each value was skipped. Raises InvalidRow if an essential value is invalid.
    """
    phone = row.get("phone") if kind is CUSTOMERS else None
    if phone and row.get("country") and not phone.startswith("+"):
        row = {**row, "phone": _to_international(phone, row["country"])}
    while True:
        try:
            return row, kind.read(row, shop)
        except InvalidRow as refused:
            column = refused.column
            if column in kind.essential or column not in row:
                raise
            skipped.append(str(refused))
            row = {name: value for name, value in row.items() if name != column}


def _to_international(phone: str, country: str) -> str:
    """Return a national phone number in the international format."""
    try:
        return phone_numbers.normalize_phone(phone, country)
    except ValueError:
        return phone  # parsing reports what is wrong with it


CUSTOMERS = Kind(
    "customers",
    columns=(
        "customer_id", "email", "email_folded", "phone",
        "first_name", "first_name_unaccented", "last_name", "last_name_unaccented",
        "country", "country_folded", "city", "city_folded", "language", "language_folded",
        "source", "source_folded", "birth_date", "birthday", "newsletter", "subscribed_at", "first_seen",
        "attributes", "attributes_comparable",
    ),
    csv_columns=CUSTOMER_CSV_COLUMNS,
    required=("customer_id",),
    key=("customer_id",),
    essential=frozenset({"customer_id"}),
    read=read_customer,
)  # fmt: skip
ORDERS = Kind(
    "orders",
    columns=(
        "order_id", "customer_id", "anonymous_id", "placed_at", "status", "total", "discount_total",
        "refunded_total", "currency", "coupon_code", "coupon_code_folded",
    ),
    csv_columns=(
        "order_id", "customer_id", "placed_at", "status", "total", "discount_total", "refunded_total",
        "currency", "coupon_code",
    ),
    required=("order_id", "customer_id", "placed_at"),
    key=("order_id",),
    essential=frozenset({"order_id", "customer_id", "anonymous_id", "placed_at", "status", "total"}),
    read=read_order,
)  # fmt: skip
ORDER_LINES = Kind(
    "order_lines",
    columns=(
        "order_id", "key", "sku", "sku_folded", "name", "name_folded", "category", "category_folded",
        "brand", "brand_folded", "quantity", "unit_price",
    ),
    csv_columns=("order_id", "sku", "name", "category", "brand", "quantity", "unit_price", "line_id"),
    required=("order_id", "sku"),
    key=("order_id", "key"),
    essential=frozenset({"order_id", "line_id", "sku"}),
    read=read_line,
)  # fmt: skip
EVENTS = Kind(
    "events",
    columns=(
        "message_id", "customer_id", "anonymous_id", "name", "occurred_at", "properties",
        "properties_comparable", "sku_folded", "name_folded", "category_folded", "brand_folded",
        "products", "product_value", "product_quantity",
    ),
    csv_columns=("message_id", "customer_id", "anonymous_id", "event", "occurred_at", "properties"),
    required=("message_id", "event", "occurred_at"),
    key=("message_id",),
    essential=frozenset({"message_id", "customer_id", "anonymous_id", "event", "occurred_at", "properties"}),
    read=read_event,
)  # fmt: skip
KINDS = {kind.name: kind for kind in (CUSTOMERS, ORDERS, ORDER_LINES, EVENTS)}
