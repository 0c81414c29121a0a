"""Merging visitors into customers, and reassigning records."""

from collections.abc import Callable, Iterable, Mapping

from django.db import connection

from core.db import backends, execution, temporary_tables
from core.db.sql import Query, Sql, compose
from customers.facts.queue import mark_facts_stale

from .lookup import IDENTITY_TABLE

_listeners: list[Callable[[str], None]] = []


def register_merge_listener(move: Callable[[str], None]) -> None:
    """Call a function for each merge, so that apps above this one can move what they store about customers.

    It gets the name of a table of ``visitor`` and ``customer``, inside the transaction that merges them.
    """
    _listeners.append(move)


def merge(visitors: Mapping[int, int]) -> None:
    """Merge visitors into customers, by primary key.

    Records and identities move; the visitor's row stays and points to the customer.
    """
    _create_merged_table()
    temporary_tables.load_rows("merged_visitors", ("visitor", "customer"), visitors.items())
    _merge_visitors()


def follow_merges(staged: str) -> None:
    """Reassign what was just recorded for a visitor that another transaction has merged since ``customer`` was
    filled.
    """
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
    """Merge each visitor of ``merged_visitors`` into its customer."""
    if backends.is_postgresql():
        # Writers of a visitor's records hold a share lock on its row until they commit. Their records are visible
        # below, and later writers see that the visitor is merged (``follow_merges``).
        visitors = "SELECT visitor FROM merged_visitors"
        execution.fetch_all(
            f"SELECT id FROM customers_customer WHERE id IN ({visitors}) ORDER BY id FOR UPDATE"
        )
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
    # The visitor's row keeps its profile data. Visitors that were merged into it earlier follow.
    for column in ("id", "merged_into_id"):
        execution.execute(
            f"""UPDATE customers_customer SET merged_into_id =
                    (SELECT j.customer FROM merged_visitors j WHERE j.visitor = customers_customer.{column})
                WHERE {column} IN (SELECT visitor FROM merged_visitors)"""
        )
    mark_facts_stale(
        Sql("SELECT visitor FROM merged_visitors UNION SELECT customer FROM merged_visitors"), merged=True
    )
    for move in _listeners:
        move("merged_visitors")


def reassign(table: str, moves: Query) -> None:
    """Reassign records to other customers. ``moves`` selects record id and new customer.

    Rows are deleted and inserted again under the same id. A row never changes its customer in place, so the tables
    can be distributed by customer.
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
