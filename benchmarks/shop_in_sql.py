"""Create a realistic shop with a few SQL statements, and the records that follow, for the benchmarks.

The shop is written directly into the tables, as ingestion would have left them: a million customers take minutes. Its
numbers depend only on the seed. Customers arrive in the order of their keys. Their activity is drawn from heavy-tailed
distributions and then scaled so that the totals are exact. Later records are returned as rows for ingestion.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

import harness
from django.core.management.color import no_style
from django.db import connection, models
from django.db.models.functions import Coalesce

from core.db import backends, dialect, execution, partitions, temporary_tables
from core.db.sql import compose
from core.values import sortable_values
from customers.ingestion import event_partitions, line_writer, writer
from customers.models import Customer, Event, Identity, Order, OrderLine, RecordKey
from customers.models.customer import ANONYMOUS_PREFIX
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDER_LINES, ORDERS, Kind
from customers.rows.parsing import Record
from customers.rows.settings import shop_settings
from segments_project.demo import catalogue
from segments_project.demo.history import SampleShop

SEED = 20
DAY = 86_400
HISTORY_DAYS = 730
EVENTS_EACH, ORDERS_EACH = 20, 2.5  # a customer
ACTIVITY_SAMPLED = 5  # one in so many events and orders

KNOWN, GUESTS = 0.15, 0.08  # shares of the customers: with an e-mail address; with an id of the shop's only
MEETING = 1.5  # above 1, more people arrive early, because those who stay add to the later events
MET_IN_BROWSER = 0.7  # share of the customers with an id who have a browser's id too
TRACKED_ORDERS = 0.6  # the others come by phone, or from browsers that block tracking
MOST_EACH = 2_000  # orders or visits of one person, and events of one visit

PRODUCTS, PAGES = catalogue.PRODUCTS, catalogue.PAGES
PIECES = (1, 2, 3)
PROFILES = 500
TABLES = (Customer, Identity, Order, OrderLine, Event, RecordKey)

Numbered = list[tuple[int, Record]]
News = Mapping[Kind, Numbered]
"""Records by kind, in the order in which to ingest them."""


# -- Making the shop


@dataclass(frozen=True)
class Plan:
    """The number of customers, the end of the history (in seconds since 1970), and the seed."""

    customers: int
    until: int
    seed: int

    @property
    def start(self) -> int:
        """When the shop opened."""
        return self.until - HISTORY_DAYS * DAY

    def chance(self, key: str, purpose: str) -> str:
        """Return an expression: a number in [0, 1) that depends only on seed, key and purpose."""
        salt = zlib.crc32(f"{self.seed}/{purpose}".encode())
        if backends.is_postgresql():
            bits = f"hashint8extended(CAST({key} AS bigint), {salt}) & {2**52 - 1}"
            return f"(CAST({bits} AS float8) / {2**52})"
        return f"uniform({key}, {salt})"

    def pick(self, count: int, key: str, purpose: str) -> str:
        """Return an expression: a whole number from 0 to below the count."""
        return _whole(f"{count} * {self.chance(key, purpose)}")

    def favourite(self, count: int, key: str, purpose: str) -> str:
        """Return the same, where lower numbers are more likely."""
        return _whole(f"{count} * power({self.chance(key, purpose)}, 2)")

    def heavy(self, key: str, purpose: str, *, scale: float, tail: float, most: int) -> str:
        """Return an expression: a number of a truncated heavy-tailed distribution (Lomax)."""
        drawn = f"{scale} * (power(1 - {self.chance(key, purpose)}, {-1 / tail}) - 1)"
        return f"{'LEAST' if backends.is_postgresql() else 'min'}({most}, {drawn})"

    def random_id(self, key: str, purpose: str) -> str:
        """Return an expression: 32 random hexadecimal digits, as in a generated id."""
        return f"md5('{self.seed}/{purpose}/' || {key})"


def build(customers: int, until: datetime, seed: int = SEED) -> None:
    """Create the shop in the empty tables, without facts and members."""
    if Customer.objects.exists():
        raise SystemExit("the database holds customers already")
    plan = Plan(customers, int(until.timestamp()), seed)
    with _in_haste(), _without_indexes():
        for step in (
            _write_samples,
            _make_people,
            _make_orders,
            _make_visits,
            _write_customers,
            _write_orders,
            _write_events,
            _write_record_keys,
            _write_activity,
            _check_totals,
        ):
            step(plan)
            harness.log(f"  {step.__name__.strip('_').replace('_', ' ')}: done")
    if backends.is_postgresql():
        execution.execute("VACUUM ANALYZE")
        execution.execute("CHECKPOINT")


def _whole(expression: str) -> str:
    # Use floor: a cast rounds to the nearest on PostgreSQL and truncates on SQLite.
    return f"CAST(floor({expression}) AS bigint)"


def _moment(seconds: str) -> str:
    return f"to_timestamp({seconds})" if backends.is_postgresql() else f"datetime({seconds}, 'unixepoch')"


def _shared_out(total: str, weight: str, by: str) -> str:
    """Return an expression: the part of a total that this row and those before it get, by their weights.

    The difference to the previous row is the row's share. Weights and shares are whole numbers.
    """
    return f"CAST(sum({weight}) OVER (ORDER BY {by}) AS bigint) * ({total}) / CAST(sum({weight}) OVER () AS bigint)"


def _write_samples(plan: Plan) -> None:
    """Write sample properties and attributes, parsed as ingestion does, and a table of numbers."""
    text, json_type = "text", "jsonb" if backends.is_postgresql() else "text"
    said = [(number, *_said(properties)) for number, properties in enumerate(_properties())]
    folded = ", ".join(f"{name} text" for name in ("sku", "item", "category", "brand"))
    temporary_tables.create_temporary_table(
        "sample_properties",
        f"number bigint PRIMARY KEY, properties {json_type}, comparable {json_type}, {folded},"
        " value bigint, quantity bigint",
    )
    temporary_tables.load_rows(
        "sample_properties",
        ("number", "properties", "comparable", "sku", "item", "category", "brand", "value", "quantity"),
        said,
    )

    line_columns = ORDER_LINES.columns[2:]
    types = {"quantity": "bigint", "unit_price": "bigint"}
    columns = ", ".join(f"{name} {types.get(name, text)}" for name in line_columns)
    temporary_tables.create_temporary_table("sample_product", f"number bigint PRIMARY KEY, {columns}")
    records = (ORDER_LINES.read(_line_row("o", product, 1), shop_settings()) for product in PRODUCTS)
    lines = ((number, *record[2:]) for number, record in enumerate(records))
    temporary_tables.load_rows("sample_product", ("number", *line_columns), lines)

    types = {"birthday": "bigint"}
    columns = ", ".join(f"{name} {types.get(name, text)}" for name in CUSTOMERS.columns)
    temporary_tables.create_temporary_table("sample_profile", f"number bigint PRIMARY KEY, {columns}")
    rows = SampleShop(10 * PROFILES, datetime.fromtimestamp(plan.until, UTC), plan.seed).customer_rows()
    profiles = (
        (number, *CUSTOMERS.read(row, shop_settings())) for number, row in enumerate(islice(rows, PROFILES))
    )
    temporary_tables.load_rows("sample_profile", ("number", *CUSTOMERS.columns), profiles)

    temporary_tables.create_temporary_table("counting", "number bigint PRIMARY KEY")
    execution.execute(f"INSERT INTO counting {_counted(MOST_EACH)}")
    for table in ("sample_properties", "sample_product", "sample_profile", "counting"):
        temporary_tables.analyze_table(table)


def _properties() -> Iterator[str]:
    """Return the properties of all events: pages, and each product with each quantity."""
    yield from PAGES
    for product in PRODUCTS:
        for pieces in PIECES:
            yield product_properties(product, pieces)


def product_properties(product: catalogue.Product, pieces: int = 1) -> str:
    """Return the properties of an event about a product."""
    return sortable_values.dump_json(
        {"product_id": f"p{product.number:03d}", "price": product.price / 100, "quantity": pieces}
    )


def _said(properties: str) -> tuple[Any, ...]:
    record = EVENTS.read(
        {"message_id": "m", "event": "e", "occurred_at": "2026-01-01", "properties": properties},
        shop_settings(),
    )
    said = dict(zip(EVENTS.columns, record, strict=True))
    texts = ("sku_folded", "name_folded", "category_folded", "brand_folded")
    numbers = ("product_value", "product_quantity")
    return tuple(said[name] for name in ("properties", "properties_comparable", *texts, *numbers))


def _line_row(order_id: str, product: catalogue.Product, pieces: int) -> dict[str, str]:
    """Return an order line as a row of a file."""
    return {
        "order_id": order_id,
        "sku": product.sku,
        "name": product.name,
        "category": product.category,
        "brand": product.brand,
        "quantity": str(pieces),
        "unit_price": f"{product.price / 100:.2f}",
    }


def _counted(most: int) -> str:
    return f"""WITH RECURSIVE numbers (number) AS (
            SELECT CAST(1 AS bigint) UNION ALL SELECT number + 1 FROM numbers WHERE number < {most})
        SELECT number FROM numbers"""


def _make_people(plan: Plan) -> None:
    """Draw the people: when they arrive, how long they stay, how much they order and how often they visit.

    Kind 0 are visitors, kind 1 guests with only an id, kind 2 customers with contact data.
    """
    known, left = plan.chance("number", "known"), f"({plan.until} - met)"
    stays = plan.chance("number", "stays")
    lasts = f"CASE WHEN {stays} < 0.45 THEN 1 ELSE {plan.chance('number', 'lasts')} END"
    short = f"-{20 * DAY} * ln(1 - {stays})"
    span = f"""CASE WHEN kind > 0 THEN {left} * {lasts}
        WHEN {short} < {left} THEN {short} ELSE {left} END"""
    active = f"(0.1 + span / {HISTORY_DAYS * DAY}.0)"
    buys = plan.heavy("number", "buys", scale=9, tail=1.6, most=150)
    buys_as_guest = plan.heavy("number", "buys as guest", scale=0.5, tail=1.5, most=30)
    looks = plan.heavy("number", "looks", scale=13, tail=1.5, most=500)
    looks_as_visitor = plan.heavy("number", "looks as visitor", scale=0.9, tail=1.6, most=100)
    met = f"{plan.start} + {HISTORY_DAYS * DAY} * power((number - 0.5) / {plan.customers}, {MEETING})"
    temporary_tables.create_temporary_table(
        "made_person",
        "number bigint PRIMARY KEY, kind bigint, met bigint, span bigint, buys bigint, looks bigint",
    )
    execution.execute(
        f"""INSERT INTO made_person
            SELECT number, kind, met, span,
                CASE kind WHEN 0 THEN 0 WHEN 1 THEN {_whole(f"40 + 100 * {buys_as_guest}")}
                    ELSE {_whole(f"100 * {active} * {buys}")} END,
                CASE kind WHEN 0 THEN 1 + {_whole(looks_as_visitor)} ELSE {_whole(f"{active} * {looks}")} END
            FROM (
                SELECT number, kind, met, {_whole(span)} AS span FROM (
                    SELECT number,
                        CASE WHEN {known} < {KNOWN} THEN 2 WHEN {known} < {KNOWN + GUESTS} THEN 1 ELSE 0 END AS kind,
                        {_whole(met)} AS met
                    FROM ({_counted(plan.customers)}) AS counted
                ) AS came
            ) AS stayed"""
    )
    temporary_tables.analyze_table("made_person")


def _make_orders(plan: Plan) -> None:
    """Draw the orders, numbered by time."""
    key = f"person * {MOST_EACH} + nth"
    later = plan.chance(f"person * {MOST_EACH} + k.number", "placed")
    total = round(ORDERS_EACH * plan.customers)
    product = plan.favourite(len(PRODUCTS), key, "bought")
    pieces = plan.chance(key, "pieces")
    temporary_tables.create_temporary_table(
        "made_order",
        "number bigint PRIMARY KEY, person bigint, placed bigint, product bigint, pieces bigint",
    )
    execution.execute(
        f"""INSERT INTO made_order
            SELECT row_number() OVER (ORDER BY placed, person, nth), person, placed,
                {product}, CASE WHEN {pieces} < 0.8 THEN 1 WHEN {pieces} < 0.95 THEN 2 ELSE 3 END
            FROM (
                SELECT person, k.number AS nth,
                    met + {_whole(f"span * {later}")} AS placed
                FROM (
                    SELECT number AS person, met, span, upto - lag(upto, 1, 0) OVER (ORDER BY number) AS orders
                    FROM (SELECT number, met, span, {_shared_out(str(total), "buys", "number")} AS upto
                        FROM made_person WHERE buys > 0) AS summed
                ) AS buyers JOIN counting k ON k.number <= orders
            ) AS placed"""
    )
    temporary_tables.analyze_table("made_order")


def _make_visits(plan: Plan) -> None:
    """Draw the visits: those that ended with an order, and those that filled a cart (2, 3) or did not (0).

    In visits of kind 3 the cart was emptied again. Events are ``gap`` seconds apart.
    """
    temporary_tables.create_temporary_table(
        "made_visit",
        "number bigint, person bigint, ended bigint, length bigint, gap bigint, course bigint, product bigint,"
        " pieces bigint",
    )
    gap = f"5 + {_whole('70 * power({}, 2)')}"
    execution.execute(
        f"""INSERT INTO made_visit
            SELECT number, person, placed, 3 + {plan.pick(4, "number", "steps")},
                {gap.format(plan.chance("number", "gap"))}, 1, product, pieces
            FROM made_order WHERE {plan.chance("number", "tracked")} < {TRACKED_ORDERS}"""
    )
    [(orders, steps)] = execution.fetch_all("SELECT max(number), sum(length) FROM made_visit")
    left = EVENTS_EACH * plan.customers - int(steps)
    weight = _whole(f"{plan.heavy('number', 'length', scale=300, tail=4, most=6000)}")
    course = plan.chance("number", "course")
    later = plan.chance(f"p.number * {MOST_EACH} + k.number", "looked")
    ended = f"met + {_whole(f'span * {later}')}"
    # Every visit has one event. The remaining events are distributed.
    upto = _shared_out(f"{left} - count(*) OVER ()", "weight", "number")
    execution.execute(
        f"""INSERT INTO made_visit
            SELECT number, person, ended, 1 + upto - lag(upto, 1, 0) OVER (ORDER BY number),
                {gap.format(plan.chance("number", "gap"))},
                CASE WHEN {course} < 0.12 THEN 2 WHEN {course} < 0.15 THEN 3 ELSE 0 END,
                {plan.favourite(len(PRODUCTS), "number", "chosen")}, 1
            FROM (SELECT number, person, ended, {upto} AS upto FROM (
                SELECT number, person, ended, {weight} AS weight FROM (
                    SELECT {orders} + row_number() OVER (ORDER BY p.number, k.number) AS number, p.number AS person,
                        CASE WHEN kind = 0 AND k.number = 1 THEN met ELSE {ended} END AS ended
                    FROM made_person p JOIN counting k ON k.number <= p.looks
                ) AS numbered ) AS weighed ) AS summed"""
    )
    temporary_tables.analyze_table("made_visit")


def _write_customers(plan: Plan) -> None:
    """Write the customers and their ids."""
    browser = plan.random_id("number", "browser")
    printed = f"CASE kind WHEN 0 THEN '{ANONYMOUS_PREFIX}' || {browser} ELSE 'c' || number END"
    kept = CUSTOMERS.columns[3:16]
    email = "CASE kind WHEN 2 THEN 'customer' || p.number || '@example.com' ELSE '' END"
    names = "COALESCE(s.first_name_unaccented, '') || ' ' || COALESCE(s.last_name_unaccented, '')"
    met = _moment("met")
    execution.execute(
        _insert(
            Customer,
            {
                "id": "p.number",
                "customer_id": printed.replace("number", "p.number"),
                "email": email,
                "search_text": f"CASE kind WHEN 2 THEN ' ' || {names} || ' ' || {email} ELSE '' END",
                **{name: f"COALESCE(s.{name}, '')" for name in kept},
                "birth_date": dialect.date_cast_sql("s.birth_date"),
                "birthday": "s.birthday",
                "newsletter": "COALESCE(s.newsletter, 'never')",
                "subscribed_at": f"CASE WHEN s.newsletter <> 'never' THEN {met} END",
                "first_seen": f"CASE kind WHEN 2 THEN {met} END",
                "attributes": dialect.json_cast_sql("COALESCE(s.attributes, '{}')"),
                "attributes_comparable": dialect.json_cast_sql("COALESCE(s.attributes_comparable, '{}')"),
                "recorded_at": met,
            },
            f"""made_person p LEFT JOIN sample_profile s
                ON p.kind = 2 AND s.number = {plan.pick(PROFILES, "p.number", "profile")} ORDER BY p.number""",
        )
    )
    has_browser = f"kind = 0 OR {plan.chance('number', 'has browser')} < {MET_IN_BROWSER}"
    for kind, value, those in (
        (Identity.Kind.CUSTOMER_ID, "'c' || number", "kind > 0"),
        (Identity.Kind.ANONYMOUS_ID, browser, has_browser),
    ):
        execution.execute(
            _insert(
                Identity,
                {"kind": f"'{kind.value}'", "value": value, "customer_id": "number"},
                f"made_person WHERE {those} ORDER BY number",
            )
        )
    _start_sequence_after(Customer)


def _write_orders(plan: Plan) -> None:
    """Write the orders with one line each. Amounts are whole ten-thousandths."""
    offer, fate = plan.chance("number", "offer"), plan.chance("number", "fate")
    age = f"{plan.until} - placed"
    coupon = f"CASE WHEN {offer} < 0.10 THEN 'THANKYOU10' WHEN {offer} < 0.16 THEN 'SUMMER15' ELSE '' END"
    percent = (
        f"CASE WHEN {offer} < 0.10 THEN 10 WHEN {offer} < 0.16 THEN 15 WHEN {offer} < 0.25 THEN 20 ELSE 0 END"
    )
    status = f"""CASE WHEN {fate} < 0.03 THEN 'cancelled' WHEN {fate} < 0.05 AND {age} > {5 * DAY} THEN 'refunded'
        WHEN {fate} < 0.06 OR ({fate} < 0.15 AND {age} < {DAY}) THEN 'pending'
        WHEN {age} < {3 * DAY} THEN 'paid' ELSE 'fulfilled' END"""
    priced = f"""SELECT *, goods - goods * percent / 100 + CASE WHEN goods < 600000 THEN 49500 ELSE 0 END AS total
        FROM (SELECT o.number, o.person, o.placed, pieces * unit_price AS goods, {percent} AS percent
            FROM (SELECT m.*, unit_price FROM made_order m JOIN sample_product s ON s.number = m.product) AS o
        ) AS counted"""
    refunded = f"""CASE WHEN {status} = 'refunded' THEN total
        WHEN {status} = 'fulfilled' AND {fate} > 0.96 THEN total / 2 ELSE 0 END"""
    execution.execute(
        _insert(
            Order,
            {
                "id": "number",
                "order_id": "'o' || number",
                "customer_id": "person",
                "placed_at": _moment("placed"),
                "status": status,
                "total": "total",
                "discount_total": "goods * percent / 100",
                "refunded_total": refunded,
                "currency": f"'{shop_settings().currency}'",
                "coupon_code": coupon,
                "coupon_code_folded": f"lower({coupon})",
            },
            f"({priced}) AS priced ORDER BY number",
        )
    )
    texts = (
        "sku",
        "sku_folded",
        "name",
        "name_folded",
        "category",
        "category_folded",
        "brand",
        "brand_folded",
    )
    execution.execute(
        _insert(
            OrderLine,
            {
                "order_id": "o.number",
                "customer_id": "o.person",
                "key": "'#1#' || s.sku",
                **{name: f"s.{name}" for name in texts},
                "quantity": "o.pieces * s.quantity",
                "unit_price": "s.unit_price",
            },
            "made_order o JOIN sample_product s ON s.number = o.product ORDER BY o.number",
        )
    )
    _start_sequence_after(Order)


def _write_events(plan: Plan) -> None:
    """Write the events of all visits, in the order of time."""
    months = event_partitions.months_around(datetime.fromtimestamp(plan.until, UTC), HISTORY_DAYS // 28, 2)
    partitions.create_months(Event._meta.db_table, months)
    key = f"visit * {MOST_EACH} + step"
    # Counted from the end of the visit: 0 is the last event.
    to_go = "length - step"
    name = f"""CASE
        WHEN course = 1 AND {to_go} = 0 THEN 'Order Completed'
        WHEN course = 3 AND {to_go} = 0 AND length > 1 THEN 'Product Removed'
        WHEN (course = 2 AND {to_go} = 0) OR (course IN (1, 3) AND {to_go} = 1) THEN 'Product Added'
        WHEN step = 1 AND {plan.chance(key, "landing")} < 0.5 THEN 'Page Viewed'
        ELSE 'Product Viewed' END"""

    def about(product: str, pieces: str) -> str:
        return f"{len(PAGES)} + {len(PIECES)} * {product} + {pieces} - 1"

    said = f"""CASE name WHEN 'Page Viewed' THEN {plan.pick(len(PAGES), key, "page")}
        WHEN 'Product Viewed' THEN {about(plan.favourite(len(PRODUCTS), key, "viewed"), "1")}
        ELSE {about("product", "pieces")} END"""
    steps = """SELECT v.number AS visit, k.number AS step, person, length, course, product, pieces,
            ended - (length - k.number) * gap AS at
        FROM made_visit v JOIN counting k ON k.number <= v.length"""
    execution.execute(
        _insert(
            Event,
            {
                "id": "happened.number",
                "message_id": plan.random_id("happened.number", "message"),
                "customer_id": "person",
                "name": "name",
                "occurred_at": _moment("at"),
                "properties": "s.properties",
                "properties_comparable": "s.comparable",
                "sku_folded": "s.sku",
                "name_folded": "s.item",
                "category_folded": "s.category",
                "brand_folded": "s.brand",
                "product_value": "s.value",
                "product_quantity": "s.quantity",
            },
            f"""(SELECT row_number() OVER (ORDER BY at, visit, step) AS number, person, at, name, {said} AS said
                    FROM (SELECT steps.*, {name} AS name FROM ({steps}) AS steps) AS named
                ) AS happened JOIN sample_properties s ON s.number = said""",
        )
    )
    _start_sequence_after(Event)


def _write_record_keys(_: Plan) -> None:
    for model, kind, value, at in (
        (Order, RecordKey.Kind.ORDER, "order_id", "placed_at"),
        (Event, RecordKey.Kind.MESSAGE, "message_id", "occurred_at"),
    ):
        values = {"kind": str(kind.value), "value": value, "record": "id", "at": at}
        execution.execute(_insert(RecordKey, values, model._meta.db_table))


def _write_activity(_: Plan) -> None:
    """Number the customers of some events and orders, so that new ones are drawn by activity without reading all."""
    for model in (Event, Order):
        activity = _activity_table(model)
        execution.execute(
            f"""CREATE TABLE {activity} AS SELECT row_number() OVER (ORDER BY id) AS number, customer_id AS customer
                FROM {model._meta.db_table} WHERE id % {ACTIVITY_SAMPLED} = 0"""
        )
        execution.execute(f"CREATE UNIQUE INDEX {activity}_number ON {activity} (number)")


def _activity_table(model: type[models.Model]) -> str:
    return f"benchmark_{model._meta.model_name}_customers"


def _check_totals(plan: Plan) -> None:
    """Fail if the shop is too small, which happens if a person did more than the table of numbers can count."""
    for model, each in ((Order, ORDERS_EACH), (Event, EVENTS_EACH)):
        if model._default_manager.count() != round(each * plan.customers):
            raise SystemExit(f"the shop has too few rows of {model._meta.db_table}")


def _insert(model: type[models.Model], values: Mapping[str, str], source: str) -> str:
    """Return the statement that fills a table from a source. Other columns get the defaults of the model."""
    given = dict(values)
    for field in model._meta.concrete_fields:
        if field.column and field.column not in given and not field.primary_key:
            given[field.column] = _literal(field.get_db_prep_save(field.get_default(), connection))
    columns, expressions = ", ".join(given), ", ".join(given.values())
    return f"INSERT INTO {model._meta.db_table} ({columns}) SELECT {expressions} FROM {source}"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return str(value)
    return f"'{value if isinstance(value, str) else json.dumps(value.obj)}'"


def _start_sequence_after(model: type[models.Model]) -> None:
    """Set the sequence to the next free key. SQLite does this itself."""
    for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
        execution.execute(statement)


# -- Quickly


@contextmanager
def _in_haste() -> Iterator[None]:
    """Trade the safety of commits for speed, with more memory, and reset the connection at the end."""
    connection.close()
    if backends.is_postgresql():
        settings = {
            "synchronous_commit": "off",
            "work_mem": "512MB",
            "maintenance_work_mem": "1GB",
            "temp_buffers": "256MB",
        }
        for name, value in settings.items():
            execution.execute(f"SET {name} = '{value}'")
    else:
        for pragma in ("synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"):
            execution.execute(f"PRAGMA {pragma}")
        connection.connection.create_function("uniform", 2, _uniform, deterministic=True)
    yield
    connection.close()


def _uniform(key: int, salt: int) -> float:
    """Mix the bits of two numbers (as SplitMix64 does) into a number in [0, 1)."""
    mixed = (key * 0x9E3779B97F4A7C15 + salt * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (mixed >> 12) / 2**52


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Drop the tables' indexes and constraints, and recreate them from the catalogue."""
    tables = [model._meta.db_table for model in TABLES]
    drop, make = _indexes_of_postgresql(tables) if backends.is_postgresql() else _indexes_of_sqlite(tables)
    for statement in drop:
        execution.execute(statement)
    yield
    for statement in make:
        execution.execute(statement)
    harness.log(f"  {len(make)} indexes and constraints: done")


def _indexes_of_postgresql(tables: list[str]) -> tuple[list[str], list[str]]:
    """Return the statements that drop all but the primary keys, and those that recreate them."""
    constraints = execution.fetch_all(
        """SELECT CAST(conrelid AS regclass), quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = ANY(CAST(%s AS regclass[])) AND contype IN ('f', 'u') ORDER BY contype, oid""",
        [tables],
    )
    indexes = execution.fetch_all(
        """SELECT CAST(indexrelid AS regclass), pg_get_indexdef(indexrelid) FROM pg_index
            WHERE indrelid = ANY(CAST(%s AS regclass[])) AND NOT indisprimary AND NOT EXISTS (
                SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('u', 'x'))
            ORDER BY indexrelid""",
        [tables],
    )
    drop = [f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, _ in constraints]
    drop += [f"DROP INDEX {index}" for index, _ in indexes]
    make = [definition.replace(" ON ONLY ", " ON ") for _, definition in indexes]
    # Foreign keys come last, because their checks use the indexes.
    make += [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}" for table, name, what in reversed(constraints)
    ]
    return drop, make


def _indexes_of_sqlite(tables: list[str]) -> tuple[list[str], list[str]]:
    """Return the same. Constraints in the definition of a table cannot be dropped."""
    indexes = execution.fetch_all(
        f"""SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL
            AND tbl_name IN ({", ".join(f"'{table}'" for table in tables)})"""
    )
    return [f'DROP INDEX "{name}"' for name, _ in indexes], [sql for _, sql in indexes]


# -- What comes in next


def proportional(customers: int, since: datetime, until: datetime) -> dict[str, int]:
    """Return the average number of events and orders of a shop of that size between two instants."""

    def due(each: float) -> int:
        a_second = each * customers / (HISTORY_DAYS * DAY)
        return int(until.timestamp() * a_second) - int(since.timestamp() * a_second)

    return {"events": due(EVENTS_EACH), "orders": due(ORDERS_EACH)}


def news(since: datetime, until: datetime, *, events: int, orders: int, seed: int = SEED) -> News:
    """Draw the records after one instant until another, each kind in the order of time."""
    return _Arrivals(since, until, seed).news(events, orders)


def ingest(what: News) -> None:
    """Ingest the new records."""
    line_writer.start_line_numbering()
    for kind, numbered in what.items():
        if numbered:
            outcome = writer.ingest(kind, numbered)
            if outcome.rejected:
                raise SystemExit(f"{kind.name}: {outcome.rejected[0].reason}")


class _Arrivals:
    """Draws visits and orders between two instants, of known and of new people."""

    NEW_VISITORS, NEW_BUYERS = 0.12, 0.06  # shares of the visits and of the orders, as in the shop's history

    def __init__(self, since: datetime, until: datetime, seed: int) -> None:
        self.since, self.length = since, (until - since).total_seconds()
        self.random = Random(f"{seed}/{since.isoformat()}/{until.isoformat()}")
        self.shop = shop_settings()

    def news(self, events: int, orders: int) -> News:
        """Draw events and orders. Each order has a line, and each new buyer a profile."""
        rows: dict[Kind, list[dict[str, str]]] = {CUSTOMERS: [], ORDERS: [], ORDER_LINES: [], EVENTS: []}
        buyers = self._met(Order, orders)
        for moment, buyer in zip(self._moments(orders), buyers, strict=True):
            self._order(rows, moment, buyer)
        rows[EVENTS] = rows[EVENTS][-events:] if events else []
        visitors = iter(self._met(Event, events))
        while len(rows[EVENTS]) < events:
            steps = min(1 + int(self.random.expovariate(0.4)), events - len(rows[EVENTS]))
            rows[EVENTS] += self._visit(next(visitors), steps)
        rows[EVENTS].sort(key=lambda row: row["occurred_at"])
        return {
            kind: [(number, kind.read(row, self.shop)) for number, row in enumerate(of_kind, start=1)]
            for kind, of_kind in rows.items()
        }

    def _met(self, model: type[Event] | type[Order], count: int) -> list[str]:
        """Choose customers of the shop's history by their activity, half of them by recent activity."""
        activity = _activity_table(model)
        [(newest,)] = execution.fetch_all(f"SELECT COALESCE(max(number), 0) FROM {activity}")
        if not count or not newest:
            return [""] * count
        numbers = [
            self.random.randint(1 if self.random.random() < 0.5 else newest - newest // 20, newest)
            for _ in range(count)
        ]
        of_number: dict[int, int] = dict(
            execution.fetch_all(
                compose(
                    f"SELECT number, customer FROM {activity} WHERE {{chosen}}",
                    chosen=dialect.is_one_of("number", numbers),
                )
            )
        )
        found = Customer.objects.filter(pk__one_of=[*set(of_number.values())])
        names = dict(found.values_list("pk", Coalesce("merged_into__customer_id", "customer_id")))
        return [names[of_number[number]] for number in numbers]

    def _moments(self, count: int, window: tuple[float, float] = (0, 1)) -> list[str]:
        """Draw ascending moments of a part of the time, after its start."""
        low, high = window
        parts = sorted(low + (high - low) * (1 - self.random.random()) for _ in range(count))
        return [self._iso(part * self.length) for part in parts]

    def _iso(self, seconds: float) -> str:
        return (self.since + timedelta(seconds=max(seconds, 0.001))).isoformat(timespec="milliseconds")

    def _order(self, rows: dict[Kind, list[dict[str, str]]], moment: str, buyer: str) -> None:
        random, order_id = self.random, f"o-{self.random.getrandbits(64):016x}"
        if not buyer or random.random() < self.NEW_BUYERS:
            buyer = f"c-{random.getrandbits(64):016x}"
            rows[CUSTOMERS].append(
                {"customer_id": buyer, "email": f"{buyer}@example.com", "first_seen": moment}
            )
        product, pieces = random.choice(PRODUCTS), random.choice(PIECES)
        goods = product.price * pieces
        reduced = random.random()
        discount = goods // 10 if reduced < 0.25 else 0
        rows[ORDERS].append(
            {
                "order_id": order_id,
                "customer_id": buyer,
                "placed_at": moment,
                "status": "pending" if random.random() < 0.1 else "paid",
                "total": f"{(goods - discount) / 100:.2f}",
                "discount_total": f"{discount / 100:.2f}",
                "coupon_code": "THANKYOU10" if reduced < 0.15 else "",
            }
        )
        rows[ORDER_LINES].append(_line_row(order_id, product, pieces) | {"line_id": "1"})
        if random.random() < TRACKED_ORDERS:
            rows[EVENTS].append(
                self._event(buyer, "Order Completed", moment, product_properties(product, pieces))
            )

    def _visit(self, visitor: str, steps: int) -> list[dict[str, str]]:
        random = self.random
        if not visitor or random.random() < self.NEW_VISITORS:
            visitor = f"{ANONYMOUS_PREFIX}{random.getrandbits(128):032x}"
        start = random.random()
        end = min(1.0, start + 20 * steps / self.length)
        names = ["Product Viewed"] * steps
        if random.random() < 0.4:
            names[0] = "Page Viewed"
        if random.random() < 0.2:
            names[-1] = "Product Added"
        product = random.choice(PRODUCTS)
        return [
            self._event(
                visitor,
                name,
                moment,
                random.choice(PAGES) if name == "Page Viewed" else product_properties(product),
            )
            for name, moment in zip(names, self._moments(steps, (start, end)), strict=True)
        ]

    def _event(self, whose: str, name: str, moment: str, properties: str) -> dict[str, str]:
        return event_row(f"{self.random.getrandbits(128):032x}", whose, name, moment, properties)


def event_row(message_id: str, whose: str, name: str, moment: str, properties: str) -> dict[str, str]:
    """Return an event as a row of a file. ``whose`` is the customer's public id."""
    is_visitor = whose.startswith(ANONYMOUS_PREFIX)
    return {
        "message_id": message_id,
        "customer_id": "" if is_visitor else whose,
        "anonymous_id": whose.removeprefix(ANONYMOUS_PREFIX) if is_visitor else "",
        "event": name,
        "occurred_at": moment,
        "properties": properties,
    }
