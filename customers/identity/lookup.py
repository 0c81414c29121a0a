"""Whose record is it: from the ids of arriving records to customers, and the joining of two histories.

The only writer of ``Identity``, and of customers that nobody has described yet.

Identities are looked up by sub-selects that give one value, never joined: while a large file comes in, the
planner's statistics lag behind, and a join planned for an empty table takes minutes on a full one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection
from django.db.models import Q

from core.db import backends, dialect, execution, locks, temporary_tables, transactions
from core.db.sql import Query, Sql, compose
from core.values.text_cleaning import to_nfc
from customers.models import UnsignedLink
from customers.models.customer import ANONYMOUS_PREFIX, Customer, DatedAttribute, Identity

CUSTOMER_ID, ANONYMOUS_ID = Identity.Kind.CUSTOMER_ID.value, Identity.Kind.ANONYMOUS_ID.value
IDENTITY_TABLE = Identity._meta.db_table

INBOX_TURN: Final = "inbox"
"""Whoever settles which ids are one person has this turn."""

_listeners: list[Callable[[str], None]] = []


@dataclass(frozen=True)
class Resolver:
    """What settles which ids are one person; it stands above this module.

    ``trust`` gets customer ids that something trusted names, and only browsers had named before. ``join`` gets the
    name of a staging table of rows with both ids.
    """

    trust: Callable[[Collection[str], datetime], None]
    join: Callable[[str, datetime], None]


_resolver: list[Resolver] = []


def let_resolve(resolver: Resolver) -> None:
    """Let what files and the API say of ids be settled with what messages say."""
    _resolver[:] = [resolver]


def let_follow(move: Callable[[str], None]) -> None:
    """Let what apps above this one keep of customers go along when visitors are joined.

    ``move`` gets the name of a table of ``visitor`` and ``customer``, inside the transaction that joins them.
    """
    _listeners.append(move)


def lookup(public_id: str) -> Customer | None:
    """Find a customer by a public id or an id of any kind; the ids of a merged visitor lead to the customer."""
    # An id of another spelling than NFC is there only where both were before ids were kept in one.
    for spelling in dict.fromkeys((public_id, to_nfc(public_id))):
        for kind, value in (
            (CUSTOMER_ID, spelling),
            (ANONYMOUS_ID, spelling.removeprefix(ANONYMOUS_PREFIX)),
        ):
            found = Identity.objects.filter(kind=kind, value=value).select_related("customer").first()
            if found:
                return found.customer
    return None


def lookup_all(public_ids: Iterable[str]) -> dict[str, int]:
    """Find the keys of customers by their ids, each as ``find`` does, in one query."""
    written = {one: to_nfc(one) for one in public_ids}
    named = {one: one.removeprefix(ANONYMOUS_PREFIX) for one in written.values()}
    identities = Identity.objects.filter(
        Q(kind=CUSTOMER_ID, value__in=named) | Q(kind=ANONYMOUS_ID, value__in=set(named.values()))
    )
    keys = {(kind, value): key for kind, value, key in identities.values_list("kind", "value", "customer_id")}
    found = {one: keys.get((CUSTOMER_ID, one), keys.get((ANONYMOUS_ID, id))) for one, id in named.items()}
    return {one: key for one, id in written.items() if (key := found[id]) is not None}


def lookup_customers(staged: str) -> None:
    """Fill ``customer`` of a staging table from its ``customer_id``, which may be a visitor's public id."""
    _fill_from_identities(staged, CUSTOMER_ID, "customer_id", "customer_id IS NOT NULL")
    execution.execute(
        f"""UPDATE {staged} SET customer =
                (SELECT c.id FROM customers_customer c WHERE c.customer_id = {staged}.customer_id)
            WHERE customer_id LIKE '{ANONYMOUS_PREFIX}%'"""
    )


def resolve(staged: str, now: datetime) -> None:
    """Fill ``customer`` from ``customer_id`` where it is not yet, creating customers not met before."""
    among = "customer_id IS NOT NULL AND customer IS NULL"
    _resolve(staged, now, CUSTOMER_ID, "customer_id", public_id="customer_id", among=among)


def resolve_visitors(staged: str, now: datetime) -> None:
    """Fill ``customer`` and ``visitor`` from ``anonymous_id`` in rows without a ``customer_id``, creating visitors."""
    public_id = f"'{ANONYMOUS_PREFIX}' || anonymous_id"
    among = "anonymous_id IS NOT NULL AND customer_id IS NULL"
    _resolve(staged, now, ANONYMOUS_ID, "anonymous_id", public_id=public_id, among=among)


def _resolve(staged: str, now: datetime, kind: str, column: str, *, public_id: str, among: str) -> None:
    _fill_from_identities(staged, kind, column, among)
    unresolved = f"{among} AND customer IS NULL"
    _create_missing_table()
    if execution.execute(
        f"INSERT INTO missing_ids SELECT DISTINCT {column}, {public_id} FROM {staged} WHERE {unresolved}"
    ):
        _create_missing(now, kind)
        _fill_from_identities(staged, kind, column, unresolved)


def get_or_create(kind: str, values: Iterable[str], now: datetime, *, is_trusted: bool = True) -> None:
    """Create the customers, or visitors, of ids that may not have been met before."""
    prefix = ANONYMOUS_PREFIX if kind == ANONYMOUS_ID else ""
    _create_missing_table()
    temporary_tables.load_rows(
        "missing_ids", ("value", "public_id"), [(value, prefix + value) for value in set(values)]
    )
    _create_missing(now, kind, is_trusted=is_trusted)


def _create_missing_table() -> None:
    temporary_tables.create_temporary_table("missing_ids", "value text PRIMARY KEY, public_id text")


def _create_missing(now: datetime, kind: str, *, is_trusted: bool = True) -> None:
    execution.execute(
        """INSERT INTO customers_customer (customer_id, email, email_folded, phone, first_name, last_name, country,
                city, language, source, country_folded, city_folded, language_folded, source_folded, newsletter,
                attributes, attributes_comparable, recorded_at)
            SELECT public_id, '', '', '', '', '', '', '', '', '', '', '', '', '', 'never', '{}', '{}', %s
            FROM missing_ids WHERE true ON CONFLICT (customer_id) DO NOTHING""",
        [dialect.datetime_param(now)],
    )
    _reset_merged(now)
    # By the public id, so that of two writers that create the same visitor at once, both find the one row.
    execution.execute(
        f"""INSERT INTO {IDENTITY_TABLE} (kind, value, is_trusted, customer_id)
            SELECT '{kind}', missing_ids.value, {is_trusted}, c.id
            FROM missing_ids JOIN customers_customer c ON c.customer_id = missing_ids.public_id
            WHERE true ON CONFLICT (kind, value) DO NOTHING"""
    )


def _reset_merged(now: datetime) -> None:
    """Let those who were joined, and are met by themselves again, begin afresh: what was told of them has moved."""
    merged = """SELECT c.id FROM missing_ids JOIN customers_customer c ON c.customer_id = missing_ids.public_id
        WHERE c.merged_into_id > 0"""
    revived = [key for (key,) in execution.fetch_all(joined)]
    if not revived:
        return
    blank = Customer(recorded_at=now)
    fields = [field for field in Customer._meta.concrete_fields if field.name not in ("id", "customer_id")]
    DatedAttribute.objects.filter(customer__in=revived).delete()
    Customer.objects.filter(pk__in=revived).update(
        **{field.attname: getattr(blank, field.attname) for field in fields}
    )


def _fill_from_identities(staged: str, kind: str, column: str, among: str) -> None:
    execution.execute(
        f"""UPDATE {staged} SET (customer, visitor) =
                (SELECT i.customer_id, {"i.id" if kind == ANONYMOUS_ID else "CAST(NULL AS bigint)"}
                FROM {IDENTITY_TABLE} i WHERE i.kind = '{kind}' AND i.value = {staged}.{column})
            WHERE {among}"""
    )


def trust_named(customer_ids: Collection[str], now: datetime) -> None:
    """End the unsigned links of customer ids that records name: from now on the ids belong to the shop."""
    if not customer_ids:
        return
    take_turn_to_trust(customer_ids)
    # Until the commit nobody links a browser to an id that the records name (see ``hold_back_records``).
    transactions.lock_shared(UnsignedLink._meta.db_table)
    if named := untrusted_among(customer_ids):
        take_turn()
        _resolver[0].trust(named, now)


def take_turn_to_trust(customer_ids: Collection[str]) -> None:
    """Take the turn where records name customer ids that only browsers have named: before anything else is locked."""
    if customer_ids and untrusted_among(customer_ids):
        take_turn()


def take_turn() -> None:
    """Wait until nobody else settles which ids are one person; the turn ends with the transaction."""
    locks.acquire(INBOX_TURN)


def hold_back_records() -> None:
    """Wait for records that name ids, and keep others waiting, until this transaction ends: an id may be linked."""
    transactions.lock_exclusive(UnsignedLink._meta.db_table)


def untrusted_among(customer_ids: Collection[str]) -> list[str]:
    untrusted = f"FROM {IDENTITY_TABLE} WHERE NOT is_trusted AND kind = '{CUSTOMER_ID}'"
    if not execution.fetch_all(f"SELECT 1 {untrusted} LIMIT 1"):
        return []
    temporary_tables.create_temporary_table("ids_named", "value text PRIMARY KEY")
    temporary_tables.load_rows("ids_named", ("value",), ((value,) for value in customer_ids))
    found = execution.fetch_all(f"SELECT value {untrusted} AND value IN (SELECT value FROM ids_named)")
    return [value for (value,) in found]


def merge_visitors(staged: str, now: datetime) -> None:
    """Let visitors become the customers whom staged rows with both ids say they are."""
    _resolver[0].join(staged, now)


def merge(visitors: Mapping[int, int]) -> None:
    """Join visitors into customers, both by their keys: records and identities move, the visitor's row stays."""
    _create_merged_table()
    temporary_tables.load_rows("merged_visitors", ("visitor", "customer"), visitors.items())
    _merge_visitors()


def follow_merges(staged: str) -> None:
    """Move what was just recorded for a visitor whom somebody else joined since ``customer`` was filled."""
    if not backends.is_postgresql():  # where no other writer can be
        return
    _create_merged_table()
    late = execution.execute(
        f"""INSERT INTO merged_visitors SELECT id, merged_into_id FROM customers_customer
            WHERE merged_into_id IS NOT NULL AND id IN (SELECT customer FROM {staged})"""
    )
    if late:
        _merge_visitors()


def _create_merged_table() -> None:
    temporary_tables.create_temporary_table("merged_visitors", "visitor bigint PRIMARY KEY, customer bigint")


def _merge_visitors() -> None:
    """Join each visitor of ``merged_visitors`` into its customer."""
    if backends.is_postgresql():
        # Whoever records for a visitor holds a share of the row until the commit: their records are seen below,
        # and those of who comes later see that the visitor is joined (``follow_joins``).
        among = "SELECT visitor FROM merged_visitors"
        execution.fetch_all(f"SELECT id FROM customers_customer WHERE id IN ({among}) ORDER BY id FOR UPDATE")
        execution.execute(
            """DELETE FROM merged_visitors j USING customers_customer c
               WHERE c.id = j.visitor AND c.merged_into_id <> j.customer"""
        )
    for table in (
        "customers_order",
        "customers_orderline",
        "customers_event",
        "customers_eventproduct",
        "customers_consentchange",
    ):
        reassign(
            table,
            Sql(
                f"SELECT r.id, j.customer FROM {table} r JOIN merged_visitors j ON j.visitor = r.customer_id"
            ),
        )
    execution.execute(
        f"""UPDATE {IDENTITY_TABLE} SET customer_id =
                (SELECT j.customer FROM merged_visitors j WHERE j.visitor = {IDENTITY_TABLE}.customer_id)
            WHERE customer_id IN (SELECT visitor FROM merged_visitors)"""
    )
    # What the visitor was told of, the row keeps for reading; who was joined into the visitor goes along.
    for column in ("id", "merged_into_id"):
        execution.execute(
            f"""UPDATE customers_customer SET merged_into_id =
                    (SELECT j.customer FROM merged_visitors j WHERE j.visitor = customers_customer.{column})
                WHERE {column} IN (SELECT visitor FROM merged_visitors)"""
        )
    queue_stale(
        Sql("SELECT visitor FROM merged_visitors UNION SELECT customer FROM merged_visitors"), merged=True
    )
    for move in _listeners:
        move("merged_visitors")


def reassign(table: str, moves: Query) -> None:
    """Give records to other customers; ``moves`` selects record id and new customer.

    Deleted and inserted again under the same id: a row never changes its customer in place, so that the
    tables can be distributed by customer.
    """
    execution.execute("DROP TABLE IF EXISTS moved_records")
    execution.execute("CREATE TEMPORARY TABLE moves (id bigint PRIMARY KEY, customer bigint)")
    moved = execution.execute(compose("INSERT INTO moves {moves}", moves=moves))
    if moved:
        columns = _columns(table)
        names = ", ".join(columns)
        execution.execute(
            f"CREATE TEMPORARY TABLE moved_records AS SELECT * FROM {table} WHERE id IN (SELECT id FROM moves)"
        )
        execution.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM moves)")
        values = ", ".join("m.customer" if column == "customer_id" else f"r.{column}" for column in columns)
        execution.execute(
            f"INSERT INTO {table} ({names}) SELECT {values} FROM moved_records r JOIN moves m ON m.id = r.id"
        )
    execution.execute("DROP TABLE moves")


def _columns(table: str) -> Iterable[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]


def queue_stale(customers: Query, *, merged: bool = False) -> None:
    """Queue customers, selected by their keys, for their facts to be updated; ``joined`` where histories moved."""
    execution.execute(
        compose(
            f"""INSERT INTO customers_stalefacts (customer_id, merged)
                SELECT DISTINCT touched.*, {"true" if merged else "false"} FROM ({{customers}}) AS touched""",
            customers=customers,
        )
    )
