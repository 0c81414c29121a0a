"""The only writer of customers, orders, lines and events: set-based, idempotent, all or nothing a call.

One call takes one record or ten thousand. Records (see ``customers.rows.parsing``) are staged in a temporary table,
their ids resolved to customers, and merged into the tables by one statement; a value that is None leaves what
is there. Customers touched are queued in the same transaction, for ``customers.facts.update`` to settle. The past of
customers who were erased is left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from operator import itemgetter
from typing import Any

from django.conf import settings

from core.db import backends, dialect, execution, temporary_tables, time_limits, transactions
from core.db.sql import Query, Sql, compile_query, compose
from core.values import sortable_values
from core.wakeup import notify_on_commit
from customers import consent
from customers.identity import lookup, tombstones
from customers.models import Customer, DatedAttribute
from customers.rows.parsing import CUSTOMERS, EVENTS, KINDS, ORDER_LINES, ORDERS, Kind, Record
from customers.signals import records_changed

from . import attributes, drafts

STAGED_AT_LEAST = 1_000  # records, where statements take too long

NUMBERS = frozenset(
    {
        "birthday",
        "total",
        "discount_total",
        "refunded_total",
        "quantity",
        "unit_price",
        "product_value",
        "product_quantity",
    }
)
MOMENTS = frozenset({"placed_at", "occurred_at", "subscribed_at", "first_seen"})

# What a new record of a kind must give, by the name of its column in CSV; and the ids that say whose it is.
REQUIRED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    CUSTOMERS.name: {},
    ORDERS.name: {"placed_at": "placed_at"},
    ORDER_LINES.name: {},
    EVENTS.name: {"name": "event", "occurred_at": "occurred_at"},
}
OWNER_ID_COLUMNS: Mapping[str, tuple[str, ...]] = {
    CUSTOMERS.name: (),
    ORDERS.name: ("customer_id", "anonymous_id"),
    ORDER_LINES.name: (),
    EVENTS.name: ("customer_id", "anonymous_id"),
}


class Origin(Enum):
    """Who told of records. What a browser key says is believed less, and its ids are apart from all others."""

    RECORDS = auto()
    """A file, or the API."""
    SERVER = auto()
    """A message with the key of a server, or of a source that is trusted like one."""
    BROWSER = auto()
    """A message with a key that everybody can read: orders are drafts."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not taken: its line number, the reason, and its cells where it came from a file."""

    line: int
    reason: str
    cells: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of the rows of a call.

    The lines ``left_out`` belong to the past of somebody who was erased. Those ``kept_unsubscribed`` say
    ``subscribed`` of a customer whose unsubscription they do not end. Those ``crowded`` are of a customer who has too
    many attributes.
    """

    created: int = 0
    updated: int = 0
    left_out: list[int] = field(default_factory=list)
    kept_unsubscribed: list[int] = field(default_factory=list)
    crowded: list[int] = field(default_factory=list)
    refused: list[RejectedRow] = field(default_factory=list)


def ingest(
    kind: Kind,
    numbered: Iterable[tuple[int, Record]],
    now: datetime | None = None,
    *,
    source: str = "",
    origin: Origin = Origin.RECORDS,
    announce: bool = True,
    names: bool = True,
) -> Outcome:
    """Take records of one kind, each with the line or index to name it by, in one transaction.

    Records of the same key are taken one after the other, the later one winning where it gives a value. Their
    commit is announced, unless the caller does so after the last of many calls. ``source`` says what brought them,
    for the history of consent. A customer id in a record is named by somebody who is trusted, unless ``names`` is
    False: then the records tell what messages have told already.
    """
    given, instant = list(numbered), now or datetime.now(UTC)
    call = IngestCall(instant, source, origin, names)

    def ingest_at_once(rows: int) -> Outcome:
        return transactions.retry_on_deadlock(lambda: _ingest(kind, given, call, announce, rows))

    return time_limits.AdaptiveBatch(max(len(given), STAGED_AT_LEAST), STAGED_AT_LEAST).run(ingest_at_once)


def let_follow(confirm: Callable[[Sequence[str], datetime], None]) -> None:
    """Let what messages told of orders follow once a file or the API tells of these, by their ids."""
    _listeners.append(confirm)


_listeners: list[Callable[[Sequence[str], datetime], None]] = []


@dataclass(frozen=True)
class IngestCall:
    """What writers need to know of a call."""

    now: datetime
    source: str
    origin: Origin
    names: bool
    place: int = 0

    @property
    def stated_at(self) -> datetime:
        """Return when its consents are stated: one that follows on another of the same call is made after it."""
        return self.now + timedelta(microseconds=self.place)

    @property
    def is_from_browser(self) -> str:
        """Tell in SQL whether a browser told of the records."""
        return "true" if self.origin is Origin.BROWSER else "false"


def _ingest(
    kind: Kind, numbered: Iterable[tuple[int, Record]], call: IngestCall, announce: bool, most: int
) -> Outcome:
    outcome = Outcome()
    backends.check_foreign_keys_immediately()
    tombstones.lock_shared()
    from_browser = call.origin is Origin.BROWSER
    staying, outcome.left_out = tombstones.leave_out(kind, numbered, from_browser=from_browser)
    if kind in (ORDERS, ORDER_LINES):
        if call.names:  # whoever takes messages has the turn first, and then the drafts
            lookup.take_turn_to_trust(named_customer_ids(kind, ((line, *record) for line, record in staying)))
        drafts.lock_shared()
    awaited: list[str] = []
    for place, (rows, repeated) in enumerate(batches_without_repeats(kind, staying, most)):
        if call.names:
            lookup.trust_named(named_customer_ids(kind, rows), call.now)
        stage_rows(kind, rows)
        part = _WRITERS[kind.name](replace(call, place=place))
        lookup.follow_merges(f"staged_{kind.name}")
        if kind is ORDERS and call.origin is Origin.RECORDS:
            awaited += drafts.awaited(f"staged_{kind.name}")
        refused = [*part.refused, *rejected_repeats(part.refused, repeated)]
        outcome.created += part.created
        outcome.updated += part.updated + len(repeated) + len(part.refused) - len(refused)
        outcome.refused += refused
        outcome.kept_unsubscribed += part.kept_unsubscribed
        outcome.crowded += part.crowded
    if awaited:
        for confirm in _listeners:
            confirm(awaited, call.now)
    if announce:
        notify_on_commit(records_changed)
    return outcome


def forget(customers: Iterable[int]) -> None:
    """Delete customers, named by their keys, with all of their records and ids."""
    Customer.objects.filter(pk__in=customers).delete()


def start_file() -> None:
    """Forget which order lines were numbered: the next lines belong to another file."""
    temporary_tables.create_temporary_table(
        "lines_numbered", "order_id text, sku text, lines bigint, PRIMARY KEY (order_id, sku)"
    )


def batches_without_repeats(
    kind: Kind, numbered: Iterable[tuple[int, Record]], most: int
) -> Iterator[tuple[list[Record], dict[int, int]]]:
    """Cut records, in their order, into parts that name no key twice; with each later line the one it went into.

    A part has at most so many keys.
    """
    key_of = itemgetter(*map(kind.columns.index, kind.key))
    latest: dict[Any, Record] = {}
    repeated: dict[int, int] = {}
    for line, record in numbered:
        key = key_of(record)
        if kind is ORDER_LINES and None in key:
            key = line  # lines without an id are told apart by number
        earlier = latest.get(key)
        if earlier is None:
            if len(latest) >= most:
                yield list(latest.values()), repeated
                latest, repeated = {}, {}
            latest[key] = (line, *record)
        elif _can_combine(kind, earlier[1:], record):
            latest[key] = (earlier[0], *_combine(kind, earlier[1:], record))
            repeated[line] = earlier[0]
        else:
            yield list(latest.values()), repeated
            latest, repeated = {key: (line, *record)}, {}
    if latest:
        yield list(latest.values()), repeated


def named_customer_ids(kind: Kind, rows: Iterable[Record]) -> set[str]:
    """Return the customer ids that staged rows name; ``line`` comes first in each."""
    if "customer_id" not in kind.columns:
        return set()
    place = kind.columns.index("customer_id") + 1
    return {row[place] for row in rows if row[place] is not None}


def _can_combine(kind: Kind, earlier: Record, later: Record) -> bool:
    """Tell whether taking a record laid over an earlier one is the same as taking one after the other."""
    needed, ids = REQUIRED_COLUMNS[kind.name], OWNER_ID_COLUMNS[kind.name]
    if kind is CUSTOMERS and _changes_consent(earlier, later):
        return False  # both are history
    if kind is EVENTS and _moves_link_time(earlier, later):
        return False  # what the browser was joined by keeps its own time
    complete = all(earlier[kind.columns.index(column)] is not None for column in needed)
    whose = [(earlier[place], later[place]) for place in map(kind.columns.index, ids)]
    return complete and (all(old == new for old, new in whose) or all(new is None for _, new in whose))


def _moves_link_time(earlier: Record, later: Record) -> bool:
    """Tell whether an event that names both ids, and so joins them at its time, is given another time."""
    customer, visitor, at = map(EVENTS.columns.index, ("customer_id", "anonymous_id", "occurred_at"))
    names_both = earlier[customer] is not None and earlier[visitor] is not None
    return names_both and later[at] not in (None, earlier[at])


def _changes_consent(earlier: Record, later: Record) -> bool:
    at = CUSTOMERS.columns.index("newsletter")
    return earlier[at] is not None and later[at] is not None and earlier[at] != later[at]


def rejected_repeats(refused: Iterable[RejectedRow], repeated: Mapping[int, int]) -> list[RejectedRow]:
    reasons = {refusal.line: refusal.reason for refusal in refused}
    return [RejectedRow(line, reasons[first]) for line, first in repeated.items() if first in reasons]


def _combine(kind: Kind, earlier: Record, later: Record) -> Record:
    if kind is CUSTOMERS:  # attributes add up
        at = kind.columns.index("attributes")
        both = tuple(
            sortable_values.dump_json(json.loads(old) | json.loads(new))
            for old, new in zip(earlier[at:], later[at:], strict=True)
        )
        later = later[:at] + both
    if kind is EVENTS and later[(at := kind.columns.index("properties"))] is not None:
        earlier = earlier[:at] + later[at:]  # what is read from properties comes with them
    return tuple(old if new is None else new for old, new in zip(earlier, later, strict=True))


def stage_rows(kind: Kind, rows: Iterable[Record]) -> None:
    types = dict.fromkeys(NUMBERS, "bigint") | dict.fromkeys(MOMENTS, dialect.datetime_type_sql())
    columns = ", ".join(f"{column} {types.get(column, 'text')}" for column in kind.columns)
    table = f"staged_{kind.name}"
    temporary_tables.create_temporary_table(
        table,
        f"line bigint, {columns}, customer bigint, visitor bigint, record bigint",
        joined_on=("customer", "visitor", "record", *kind.key),
    )
    temporary_tables.load_rows(table, ("line", *kind.columns), rows)


def upsert_staged(
    table: str, staged: str, on: str, columns: Mapping[str, str], key: str, *, updated: Iterable[str]
) -> int | None:
    """Merge staged rows into a table in their order; give how many were created, None where no other writer can be."""
    names = ", ".join(columns)
    values = ", ".join(columns.values())
    sets = ", ".join(f"{name} = excluded.{name}" for name in updated)
    return backends.upsert(
        f"INSERT INTO {table} ({names}) SELECT {values} FROM {staged} s LEFT JOIN {table} r ON {on}"
        f" WHERE true ORDER BY s.line ON CONFLICT ({key}) DO UPDATE SET {sets}"
    )


def reject_incomplete(kind: Kind) -> list[RejectedRow]:
    """Refuse staged rows that are new and lack what a new one must have."""
    staged, needed = f"staged_{kind.name}", REQUIRED_COLUMNS[kind.name]
    missing = " OR ".join(f"{column} IS NULL" for column in needed)
    refused = []
    for row in execution.fetch_all(
        f"SELECT line, {', '.join(needed)} FROM {staged} WHERE record IS NULL AND ({missing})"
    ):
        lacking = [label for label, value in zip(needed.values(), row[1:], strict=True) if value is None]
        refused.append(
            RejectedRow(row[0], f"{lacking[0]}: missing, and there is no such record yet to keep it from")
        )
    if refused:
        execution.execute(f"DELETE FROM {staged} WHERE record IS NULL AND ({missing})")
    return refused


def reject_ownerless(staged: str, reason: str) -> list[RejectedRow]:
    """Refuse staged rows that are new and do not say whose they are."""
    nobodys = "record IS NULL AND customer_id IS NULL AND anonymous_id IS NULL"
    refused = [
        RejectedRow(line, reason)
        for (line,) in execution.fetch_all(f"SELECT line FROM {staged} WHERE {nobodys}")
    ]
    if refused:
        execution.execute(f"DELETE FROM {staged} WHERE {nobodys}")
    return refused


def fill_record_ids(staged: str, table: str, column: str, among: str = "") -> None:
    found = f"(SELECT r.id FROM {table} r WHERE r.{column} = {staged}.{column} {among})"
    execution.execute(f"UPDATE {staged} SET record = {found} WHERE {found} IS NOT NULL")  # most rows are new


def fill_owners(staged: str, table: str) -> None:
    """Fill ``customer`` where a row did not name one: it is whose record it is."""
    execution.execute(
        f"""UPDATE {staged} SET customer = (SELECT r.customer_id FROM {table} r WHERE r.id = {staged}.record)
            WHERE customer IS NULL AND record IS NOT NULL"""
    )


def count_staged(staged: str) -> Outcome:
    [(created, updated)] = execution.fetch_all(
        f"SELECT count(*) FILTER (WHERE record IS NULL), count(*) FILTER (WHERE record IS NOT NULL) FROM {staged}"
    )
    return Outcome(created, updated)


def staged_or_stored(*columns: str, **defaults: str) -> dict[str, str]:
    """Give each column what is staged, else what is there, else its default."""
    empty_text = "''"
    return {
        column: f"COALESCE(s.{column}, r.{column}, {defaults.get(column, empty_text)})" for column in columns
    }


def write_customers(call: IngestCall) -> Outcome:
    staged, now = "staged_customers", call.now
    lookup.lookup_customers(staged)
    execution.execute(f"UPDATE {staged} SET record = customer")
    outcome = count_staged(staged)
    lookup.resolve(staged, now)
    texts = staged_or_stored(*CUSTOMERS.columns[1:14])
    given = {
        "birth_date": f"COALESCE({dialect.date_cast_sql('s.birth_date')}, r.birth_date)",
        **{name: f"COALESCE(s.{name}, r.{name})" for name in ("birthday", "subscribed_at")},
        **_first_seen(call),
        "email_is_trusted": "CASE WHEN s.email IS NULL THEN r.email_is_trusted ELSE true END",
        **{
            name: dialect.merged_json_sql(f"r.{name}", dialect.json_cast_sql(f"s.{name}"))
            for name in ("attributes", "attributes_comparable")
        },
    }
    kept = {"customer_id": "r.customer_id", "recorded_at": "r.recorded_at", "newsletter": "r.newsletter"}
    consent.note_addresses(staged)
    upsert_staged(
        "customers_customer",
        staged,
        "r.id = s.customer",
        kept | texts | given,
        "customer_id",
        updated=[*texts, *given],
    )
    outcome.crowded = attributes.bound(staged)
    keep_dated_attributes(Sql(f"SELECT customer FROM {staged} WHERE attributes <> '{{}}'"))
    outcome.kept_unsubscribed = consent.state_staged(staged, call.stated_at, call.source)
    lookup.queue_stale(Sql(f"SELECT customer FROM {staged}"))
    return outcome


def _first_seen(call: IngestCall) -> dict[str, str]:
    """Return when customers were first seen: the earliest of what the latest record gives and what messages tell."""
    if not call.names:  # what messages tell is weighed already
        return {
            "first_seen": "COALESCE(s.first_seen, r.first_seen)",
            "first_seen_given": "r.first_seen_given",
        }
    told = f"""(SELECT min({dialect.trait_datetime_sql("t.told", "first_seen")})
        FROM customers_identity i JOIN customers_traits t ON t.identity_id = i.id WHERE i.customer_id = s.customer)"""
    return {
        "first_seen": f"""CASE WHEN s.first_seen IS NULL THEN r.first_seen
            WHEN r.first_seen IS NULL OR s.first_seen <= r.first_seen THEN s.first_seen
            ELSE {dialect.least_sql("s.first_seen", told)} END""",
        "first_seen_given": "COALESCE(s.first_seen, r.first_seen_given)",
    }


def keep_dated_attributes(customers: Query) -> None:
    """Keep the attributes that are moments, of customers, selected by their keys, where time finds them."""
    customers = compile_query(customers)
    execution.execute(
        compose(
            "DELETE FROM customers_datedattribute WHERE customer_id IN ({customers})", customers=customers
        )
    )
    execution.execute(
        compose(
            f"""INSERT INTO customers_datedattribute (customer_id, name, at)
                SELECT c.id, item.key, {dialect.sortable_datetime_sql("item.value")}
                FROM customers_customer c, {dialect.json_object_items_sql("c.attributes_comparable")}
                WHERE c.id IN ({{customers}}) AND substr(item.value, 1, 1) = '{sortable_values.DATETIME}'
                    AND length(item.key) <= {DatedAttribute._meta.get_field("name").max_length}""",
            customers=customers,
        )
    )


def write_orders(call: IngestCall) -> Outcome:
    staged, now = "staged_orders", call.now
    fill_record_ids(staged, "customers_order", "order_id")
    drafts.set_aside(staged)
    if call.origin is Origin.BROWSER:  # what is confirmed stays as it is
        execution.execute(f"DELETE FROM {staged} WHERE record IS NOT NULL")
    nobodys = reject_ownerless(
        staged, "customer_id: missing, and there is no such record yet to keep it from"
    )
    refused = reject_incomplete(ORDERS)
    drafts.delete(staged)
    outcome = count_staged(staged)
    outcome.refused = [*refused, *nobodys]
    lookup.resolve(staged, now)
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE anonymous_id IS NOT NULL LIMIT 1"):
        lookup.resolve_visitors(staged, now)
    if outcome.updated:
        reassign_moved(staged, "customers_order", {"customers_orderline": "order_id"})
    fill_owners(staged, "customers_order")
    columns = {
        "order_id": "s.order_id",
        "customer_id": "s.customer",
        **staged_or_stored("placed_at", "status", "total", "discount_total", "refunded_total", "currency",
                "coupon_code", "coupon_code_folded",
                placed_at="NULL", status="'paid'", total="0", discount_total="0", refunded_total="0",
                currency=f"'{settings.SHOP_CURRENCY}'"),
        "is_draft": call.is_from_browser,
    }  # fmt: skip
    created = upsert_staged(
        "customers_order", staged, "r.id = s.record", columns, "order_id", updated=[*columns][2:]
    )
    appended = ("placed_at", "status", "total", "discount_total", "refunded_total", "coupon_code")
    queue_fact_updates(ORDERS, columns, appended, alone=created in (None, outcome.created))
    return outcome


def write_lines(call: IngestCall) -> Outcome:
    staged = "staged_order_lines"
    refused = _reject_lines_without_order(staged, call)
    fill_owners(staged, "customers_order")
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE key IS NULL LIMIT 1"):
        _number_lines(staged)
    temporary_tables.create_temporary_table(
        "staged_lines_of_orders", "line bigint, order_id bigint, key text, record bigint"
    )
    execution.execute(
        f"""INSERT INTO staged_lines_of_orders SELECT s.line, s.record, s.key, l.id FROM {staged} s
            LEFT JOIN customers_orderline l ON l.order_id = s.record AND l.key = s.key"""
    )
    outcome = count_staged("staged_lines_of_orders")
    outcome.refused = refused
    columns = {
        "order_id": "s.record",
        "customer_id": "s.customer",
        "key": "s.key",
        **staged_or_stored(*ORDER_LINES.columns[2:], quantity="10000", unit_price="0"),
    }
    upsert_staged(
        "customers_orderline",
        staged,
        "r.order_id = s.record AND r.key = s.key",
        columns,
        "order_id, key",
        updated=[*columns][3:],
    )
    # No fact is made of lines, but rules ask about them: whose lines changed is touched.
    lookup.queue_stale(Sql(f"SELECT customer FROM {staged}"))
    return outcome


def _reject_lines_without_order(staged: str, call: IngestCall) -> list[RejectedRow]:
    """Fill ``record`` with the order of each line, and refuse those without; a draft is none to who is trusted."""
    its = f"FROM customers_order o WHERE o.order_id = {staged}.order_id"
    is_draft = call.is_from_browser
    execution.execute(f"UPDATE {staged} SET record = (SELECT o.id {its} AND o.is_draft = {is_draft})")
    refused = [
        RejectedRow(
            line, f"order_id: {_why_no_order(order_id, exists=bool(exists))}; import the orders first"
        )
        for line, order_id, exists in execution.fetch_all(
            f"SELECT line, order_id, EXISTS (SELECT 1 {its}) FROM {staged} WHERE record IS NULL ORDER BY line"
        )
    ]
    execution.execute(f"DELETE FROM {staged} WHERE record IS NULL")
    return refused


def _why_no_order(order_id: str, *, exists: bool) -> str:
    if exists:
        return f"of order {order_id!r} only a browser has told so far, so it is a draft"
    return f"there is no order {order_id!r}"


def drop_other_lines(kept: Iterable[tuple[str, str]]) -> None:
    """Delete the lines of orders that were told as a whole, but for those of these keys."""
    temporary_tables.create_temporary_table(
        "lines_kept", "order_id text, key text, PRIMARY KEY (order_id, key)"
    )
    temporary_tables.load_rows("lines_kept", ("order_id", "key"), kept)
    execution.execute(
        """DELETE FROM customers_orderline WHERE id IN (
               SELECT l.id FROM customers_order o JOIN customers_orderline l ON l.order_id = o.id
               WHERE o.order_id IN (SELECT order_id FROM lines_kept) AND NOT EXISTS (
                   SELECT 1 FROM lines_kept k WHERE k.order_id = o.order_id AND k.key = l.key))"""
    )


def clear(fields: Mapping[int, Iterable[str]]) -> None:
    """Empty columns and attributes of customers, by their keys: what was told of them was another's."""
    blank = Customer()
    for customer in Customer.objects.filter(pk__in=fields):
        for name in fields[customer.pk]:
            if name not in CUSTOMERS.csv_columns:
                customer.attributes.pop(name, None)
                customer.attributes_comparable.pop(sortable_values.json_key(name), None)
                continue
            for column in (name, f"{name}_folded", *(["birthday"] if name == "birth_date" else [])):
                if column in CUSTOMERS.columns:
                    setattr(customer, column, getattr(blank, column))
            if name == "email":
                customer.email_is_trusted = blank.email_is_trusted
        customer.save()
    temporary_tables.create_temporary_table("customers_cleared", "customer bigint PRIMARY KEY")
    temporary_tables.load_rows("customers_cleared", ("customer",), [(key,) for key in fields])
    keep_dated_attributes(Sql("SELECT customer FROM customers_cleared"))
    consent.settle(Sql("SELECT customer FROM customers_cleared"), datetime.now(UTC), source="merge")
    lookup.queue_stale(Sql("SELECT customer FROM customers_cleared"))


def trust_address(customer: int, address: str) -> None:
    """Note that an address, given by its key, has confirmed that it is a customer's."""
    Customer.objects.filter(pk=customer, email_folded=address).update(email_is_trusted=True)


def note_browsers_addresses(customers: Iterable[int]) -> None:
    """Note whose address, just written, nobody but a browser gave."""
    Customer.objects.filter(pk__in=list(customers)).update(email_is_trusted=False)


def _number_lines(staged: str) -> None:
    """Give lines without an id their key: the how-manieth such line of the file it is, and the sku."""
    temporary_tables.create_temporary_table("line_keys", "line bigint PRIMARY KEY, key text")
    execution.execute(
        f"""INSERT INTO line_keys
            SELECT n.line, '#' || (COALESCE(d.lines, 0) + row_number() OVER (
                PARTITION BY n.order_id, n.sku ORDER BY n.line)) || '#' || COALESCE(n.sku, '')
            FROM {staged} n LEFT JOIN lines_numbered d ON d.order_id = n.order_id AND d.sku = COALESCE(n.sku, '')
            WHERE n.key IS NULL"""
    )
    execution.execute(
        f"""INSERT INTO lines_numbered (order_id, sku, lines)
            SELECT s.order_id, COALESCE(s.sku, ''), count(*) FROM {staged} s JOIN line_keys k ON k.line = s.line
            GROUP BY s.order_id, COALESCE(s.sku, '')
            ON CONFLICT (order_id, sku) DO UPDATE SET lines = lines_numbered.lines + excluded.lines"""
    )
    execution.execute(
        f"UPDATE {staged} SET key = (SELECT k.key FROM line_keys k WHERE k.line = {staged}.line) WHERE key IS NULL"
    )


def write_events(call: IngestCall) -> Outcome:
    staged, now = "staged_events", call.now
    fill_record_ids(
        staged, "customers_event", "message_id", f"AND r.is_from_browser = {call.is_from_browser}"
    )
    refused = reject_incomplete(EVENTS)
    nobodys = reject_ownerless(
        staged, "customer_id: missing, and so is anonymous_id; one of them says whose event it is"
    )
    outcome = count_staged(staged)
    outcome.refused = [*refused, *nobodys]
    # Most batches are of visitors alone, or of one kind of id: what there is nothing of costs nothing.
    [(customers, visitors, both, listed)] = execution.fetch_all(
        f"""SELECT count(customer_id), count(anonymous_id),
            count(*) FILTER (WHERE customer_id IS NOT NULL AND anonymous_id IS NOT NULL), count(products)
            FROM {staged}"""
    )
    if customers:
        lookup.resolve(staged, now)
    if both:
        lookup.merge_visitors(staged, now)
    if visitors > both:
        lookup.resolve_visitors(staged, now)
    if outcome.updated:
        reassign_moved(staged, "customers_event", {"customers_eventproduct": "event_id"})
    fill_owners(staged, "customers_event")
    columns = {
        "message_id": "s.message_id",
        "is_from_browser": call.is_from_browser,
        "customer_id": "s.customer",
        "visitor_id": "CASE WHEN s.customer_id IS NULL AND s.anonymous_id IS NULL THEN r.visitor_id ELSE s.visitor END",
        **staged_or_stored("name", "occurred_at", "sku_folded", "name_folded", "category_folded", "brand_folded",
                occurred_at="NULL"),
        **{
            name: f"CASE WHEN s.properties IS NULL THEN r.{name} ELSE s.{name} END"
            for name in ("product_value", "product_quantity")
        },
        **{
            name: f"COALESCE({dialect.json_cast_sql(f's.{name}')}, r.{name}, {dialect.json_cast_sql(empty_object)})"
            for name, empty_object in (("properties", "'{}'"), ("properties_comparable", "'{}'"))
        },
    }  # fmt: skip
    created = upsert_staged(
        "customers_event",
        staged,
        "r.id = s.record",
        columns,
        "message_id, is_from_browser",
        updated=[*columns][3:],
    )
    if outcome.updated or listed:
        _replace_products(staged, call)
    appended = ("occurred_at", "name", "product_value", "product_quantity")
    queue_fact_updates(EVENTS, columns, appended, alone=created in (None, outcome.created))
    return outcome


def queue_fact_updates(
    kind: Kind, columns: Mapping[str, str], appended: Iterable[str], *, alone: bool
) -> None:
    """Queue new records to be merged into the facts, and the customers of the others to be summed up again.

    Unless we were ``alone``: somebody else has created one of the new records first, so none counts as appended.
    """
    staged = f"staged_{kind.name}"
    if not alone:
        lookup.queue_stale(Sql(f"SELECT customer FROM {staged}"))
        return
    table = f"customers_{kind.name.removesuffix('s')}"
    names = ", ".join(appended)
    execution.execute(
        f"""INSERT INTO customers_appended{kind.name.removesuffix("s")} (customer_id, {names})
            SELECT s.customer, {", ".join(columns[name] for name in appended)}
            FROM {staged} s LEFT JOIN {table} r ON r.id = s.record WHERE s.record IS NULL"""
    )
    lookup.queue_stale(Sql(f"SELECT customer FROM {staged} WHERE record IS NOT NULL"))


def _replace_products(staged: str, call: IngestCall) -> None:
    execution.execute(
        f"""DELETE FROM customers_eventproduct WHERE event_id IN
                (SELECT record FROM {staged} WHERE record IS NOT NULL AND properties IS NOT NULL)"""
    )
    item = dialect.json_array_items_sql("s.products")
    fields = ", ".join(dialect.json_array_item_sql("item", place) for place in range(4))
    execution.execute(
        f"""INSERT INTO customers_eventproduct
                (event_id, customer_id, sku_folded, name_folded, category_folded, brand_folded)
            SELECT e.id, e.customer_id, {fields}
            FROM {staged} s JOIN customers_event e
                ON e.message_id = s.message_id AND e.is_from_browser = {call.is_from_browser}, {item}
            WHERE s.products IS NOT NULL"""
    )


def reassign_moved(staged: str, table: str, children: Mapping[str, str]) -> None:
    """Move records that were sent again under another customer, and their children."""
    temporary_tables.create_temporary_table("moved_parents", "id bigint PRIMARY KEY, customer bigint")
    moved = execution.execute(
        f"""INSERT INTO moved_parents SELECT r.id, s.customer FROM {staged} s
            JOIN {table} r ON r.id = s.record WHERE s.customer IS NOT NULL AND s.customer <> r.customer_id"""
    )
    if not moved:
        return
    lookup.queue_stale(Sql(f"SELECT r.customer_id FROM {table} r JOIN moved_parents p ON p.id = r.id"))
    for child, parent in children.items():
        lookup.reassign(
            child, Sql(f"SELECT c.id, p.customer FROM {child} c JOIN moved_parents p ON p.id = c.{parent}")
        )
    lookup.reassign(table, Sql("SELECT id, customer FROM moved_parents"))


_WRITERS: Mapping[str, Callable[[IngestCall], Outcome]] = {
    CUSTOMERS.name: write_customers,
    ORDERS.name: write_orders,
    ORDER_LINES.name: write_lines,
    EVENTS.name: write_events,
}
assert _WRITERS.keys() == KINDS.keys()
