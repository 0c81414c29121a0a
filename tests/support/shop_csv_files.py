"""Shops as the four kinds of CSV files that `import_csv` reads, and back.

Importing them in the order customers, orders, order_lines, events into an empty database gives the shop, but
for `recorded_at` (the moment of the import) and the members of segments, which no CSV carries. People without
a customer_id exist through their events alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .oracle_shop import Event, Line, Order, Person, Shop

Row = dict[str, str]

TEXTS = ["email", "phone", "first_name", "last_name", "country", "city", "language", "source"]
COLUMNS = {
    "customers": ["customer_id", *TEXTS, "birth_date", "newsletter", "subscribed_at", "first_seen"],
    "orders": [
        *["order_id", "customer_id", "placed_at", "status", "total", "discount_total", "refunded_total"],
        *["currency", "coupon_code"],
    ],
    "order_lines": ["order_id", "sku", "name", "category", "brand", "quantity", "unit_price"],
    "events": ["message_id", "customer_id", "anonymous_id", "event", "occurred_at", "properties"],
}


def csv_rows(shop: Shop) -> dict[str, list[Row]]:
    """The rows of each kind, every row with all columns of its kind; a missing value is an empty cell."""
    known = [person for person in shop.people if person.customer_id is not None]
    attributes = sorted({name for person in known for name in person.attributes})
    return {
        "customers": [customer_row(person, attributes) for person in known],
        "orders": [order_row(person, order) for person in known for order in person.orders],
        "order_lines": [
            line_row(order, line) for person in known for order in person.orders for line in order.lines
        ],
        "events": [event_row(person, event) for person in shop.people for event in person.events],
    }


def write_csv(shop: Shop, folder: Path) -> dict[str, Path]:
    """One file for each kind, also where it has no rows."""
    paths = {}
    for kind, rows in csv_rows(shop).items():
        paths[kind] = folder / f"{kind}.csv"
        with paths[kind].open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else COLUMNS[kind])
            writer.writeheader()
            writer.writerows(rows)
    return paths


def as_csv(rows: Sequence[Row]) -> str:
    """One file of at least one row."""
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return sheet.getvalue()


def customer_row(person: Person, attributes: list[str]) -> Row:
    return {
        "customer_id": cell(person.customer_id),
        **{column: cell(getattr(person, column)) for column in TEXTS},
        "birth_date": cell(person.birth_date),
        "newsletter": person.newsletter,
        "subscribed_at": cell(person.subscribed_at),
        "first_seen": cell(person.first_seen),
        **{name: person.attributes.get(name, "") for name in attributes},
    }


def order_row(person: Person, order: Order) -> Row:
    row = {column: cell(getattr(order, column, None)) for column in COLUMNS["orders"]}
    return row | {"customer_id": cell(person.customer_id)}


def line_row(order: Order, line: Line) -> Row:
    row = {column: cell(getattr(line, column, None)) for column in COLUMNS["order_lines"]}
    return row | {"order_id": order.order_id}


def event_row(person: Person, event: Event) -> Row:
    return {
        "message_id": event.message_id,
        "customer_id": cell(person.customer_id),
        "anonymous_id": cell(person.anonymous_id) if person.customer_id is None else "",
        "event": event.name,
        "occurred_at": cell(event.occurred_at),
        "properties": json.dumps(event.properties, ensure_ascii=False),
    }


def cell(value: str | Decimal | date | datetime | None) -> str:
    match value:
        case None:
            return ""
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            # Never 1E+2.
            return f"{value:f}"
        case _:
            return value


def read_csv(folder: Path, zone: ZoneInfo, recorded_at: datetime) -> Shop:
    """The shop in a folder with some of the four files, which must not join visitors to customers."""
    rows = {kind: list(rows_of(folder / f"{kind}.csv")) for kind in COLUMNS}

    lines: dict[str, list[Line]] = defaultdict(list)
    for row in rows["order_lines"]:
        lines[row["order_id"]].append(read_line(row))

    orders: dict[str, list[Order]] = defaultdict(list)
    for row in rows["orders"]:
        orders[row["customer_id"]].append(read_order(row, tuple(lines[row["order_id"]]), zone))

    events: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for row in rows["events"]:
        events[row["customer_id"], row.get("anonymous_id", "")].append(read_event(row, zone))

    given = {row["customer_id"]: row for row in rows["customers"]}
    met = dict.fromkeys([*given, *orders, *(customer_id for customer_id, _ in events if customer_id)])
    people = [
        Person(
            customer_id=customer_id,
            recorded_at=recorded_at,
            orders=tuple(orders[customer_id]),
            events=tuple(events[customer_id, ""]),
            **read_profile(given.get(customer_id, {}), zone),
        )
        for customer_id in met
    ]
    visitors = [
        Person(anonymous_id=anonymous_id, recorded_at=recorded_at, events=tuple(theirs))
        for (customer_id, anonymous_id), theirs in events.items()
        if not customer_id
    ]
    return Shop((*people, *visitors))


def rows_of(path: Path) -> Iterator[Row]:
    if path.exists():
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)


def read_profile(row: Row, zone: ZoneInfo) -> dict[str, Any]:
    birth_date = row.get("birth_date")
    return {
        **{column: row.get(column) or None for column in TEXTS},
        "birth_date": date.fromisoformat(birth_date) if birth_date else None,
        "newsletter": row.get("newsletter") or "never",
        "subscribed_at": read_time(row.get("subscribed_at"), zone),
        "first_seen": read_time(row.get("first_seen"), zone),
        "attributes": {name: row[name] for name in row if name not in COLUMNS["customers"] and row[name]},
    }


def read_order(row: Row, lines: tuple[Line, ...], zone: ZoneInfo) -> Order:
    placed_at = read_time(row["placed_at"], zone)
    assert placed_at is not None
    return Order(
        order_id=row["order_id"],
        placed_at=placed_at,
        status=row.get("status") or "paid",
        total=Decimal(row.get("total") or 0),
        discount_total=Decimal(row.get("discount_total") or 0),
        refunded_total=Decimal(row.get("refunded_total") or 0),
        currency=row.get("currency") or "EUR",
        coupon_code=row.get("coupon_code") or None,
        lines=lines,
    )


def read_line(row: Row) -> Line:
    return Line(
        sku=row.get("sku") or None,
        name=row.get("name") or None,
        category=row.get("category") or None,
        brand=row.get("brand") or None,
        quantity=Decimal(row.get("quantity") or 1),
        unit_price=Decimal(row.get("unit_price") or 0),
    )


def read_event(row: Row, zone: ZoneInfo) -> Event:
    occurred_at = read_time(row["occurred_at"], zone)
    assert occurred_at is not None
    return Event(row["message_id"], row["event"], occurred_at, json.loads(row.get("properties") or "{}"))


def read_time(text: str | None, zone: ZoneInfo) -> datetime | None:
    """An ISO 8601 time, in the shop's zone where it has no offset."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
