"""Merging visitors into customers, and reassigning records."""

from collections.abc import Callable, Iterable, Mapping

from django.db import IntegrityError, connection

from core.db import backends, execution, temporary_tables, transactions
from core.db.sql import Sql
from customers.facts.queue import mark_facts_stale

from .lookup import CUSTOMERS_TABLE, IDENTITY_TABLE

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
    # Writers of a visitor's records hold a share lock on its row until they commit. Their records are visible
    # below, and later writers see that the visitor is merged (``follow_merges``).
    execution.lock_rows(CUSTOMERS_TABLE, visitors)
    temporary_tables.create_temporary_table("merged_visitors", "visitor bigint PRIMARY KEY, customer bigint")
    temporary_tables.load_rows("merged_visitors", ("visitor", "customer"), visitors.items())
    merged_before = execution.fetch_all(
        f"""SELECT id, merged_into_id FROM {CUSTOMERS_TABLE}
            WHERE merged_into_id IS NOT NULL AND id IN (SELECT visitor FROM merged_visitors)"""
    )
    others = {visitor for visitor, customer in merged_before if visitors[visitor] != customer}
    execution.execute_many("DELETE FROM merged_visitors WHERE visitor = %s", [(one,) for one in others])
    _move_to_customers({one: customer for one, customer in visitors.items() if one not in others})


def follow_merges(staged: str) -> None:
    """Reassign what was just recorded for a visitor that another transaction has merged since ``customer`` was
    filled.
    """
    if backends.is_postgresql():  # on SQLite, no other writer can be
        late = execution.fetch_all(
            f"""SELECT id, merged_into_id FROM {CUSTOMERS_TABLE}
                WHERE merged_into_id IS NOT NULL AND id IN (SELECT customer FROM {staged})"""
        )
        if late:
            merge(dict(late))


def _move_to_customers(visitors: Mapping[int, int]) -> None:
    """Move what belongs to the visitors of ``merged_visitors`` to their customers."""
    for table in (
        "customers_order",
        "customers_orderline",
        "customers_event",
        "customers_eventproduct",
        "customers_consentchange",
    ):
        reassign(table, "merged_visitors", moved_from="visitor", moved_to="customer")
    update_customers(IDENTITY_TABLE, "merged_visitors")
    # The visitor's row keeps its profile data. Visitors that were merged into it earlier follow.
    followers = execution.fetch_all(
        f"""SELECT id, merged_into_id FROM {CUSTOMERS_TABLE}
            WHERE merged_into_id IN (SELECT visitor FROM merged_visitors)"""
    )
    # Another drain may revive a follower whose id is used again: then it follows no more.
    moved = {**dict(followers), **{visitor: visitor for visitor in visitors}}
    execution.execute_many(
        f"UPDATE {CUSTOMERS_TABLE} SET merged_into_id = %s WHERE id = %s AND (merged_into_id = %s OR id = %s)",
        [(visitors[visitor], one, visitor, visitor) for one, visitor in sorted(moved.items())],
    )
    mark_facts_stale(
        Sql("SELECT visitor FROM merged_visitors UNION SELECT customer FROM merged_visitors"), merged=True
    )
    for move in _listeners:
        move("merged_visitors")


def reassign(
    table: str, moves: str, *, column: str = "", moved_from: str = "moved_from", moved_to: str = "moved_to"
) -> None:
    """Reassign rows to other customers, as a temporary table of moves says.

    Its columns are the customers before and after, and ``item`` if only the rows whose ``column`` is the item move.
    Rows are deleted and inserted again under the same id. A row never changes its customer in place, so the tables
    can be distributed by customer. Raises ConcurrentWrite if another transaction writes the same rows.
    """
    which = (
        f"(customer_id, {column}) IN (SELECT {moved_from}, item FROM {moves})"
        if column
        else f"customer_id IN (SELECT {moved_from} FROM {moves})"
    )
    found = temporary_tables.copy_rows(f"moved_{table}", table, which)
    if not found:
        return
    if execution.execute(f"DELETE FROM {table} WHERE {which}") != found:
        raise transactions.ConcurrentWrite(f"another transaction has written rows of {table}")
    columns = _columns(table)
    values = ", ".join(f"m.{moved_to}" if name == "customer_id" else f"r.{name}" for name in columns)
    its = f" AND m.item = r.{column}" if column else ""
    try:
        execution.execute(
            f"""INSERT INTO {table} ({", ".join(columns)})
                SELECT {values} FROM moved_{table} r JOIN {moves} m ON m.{moved_from} = r.customer_id{its}"""
        )
    except IntegrityError as error:  # the customer has got the same rows meanwhile
        raise transactions.ConcurrentWrite(str(error)) from error


def update_customers(table: str, merged: str) -> None:
    """Let the rows of merged visitors belong to their customers, in a table that is not distributed by customer.

    ``merged`` is a table of visitor and customer.
    """
    execution.execute(
        f"""UPDATE {table} SET customer_id =
                (SELECT j.customer FROM {merged} j WHERE j.visitor = {table}.customer_id)
            WHERE customer_id IN (SELECT visitor FROM {merged})"""
    )


def _columns(table: str) -> Iterable[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]
