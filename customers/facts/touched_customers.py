"""The queue of touched customers: those whose facts may have changed since segments read the queue last."""

from core.db import backends, execution
from core.db.sql import Query, compose

from .selection import TOUCHED_TABLE


def touch_selected() -> None:
    execution.execute(
        f"""INSERT INTO {TOUCHED_TABLE} (customer_id, recorded, merged)
            SELECT customer_id, recorded = 1, merged = 1 FROM facts_selected"""
    )


def touch_customers(customers: Query, *, recorded: bool) -> None:
    """Queue customers, selected by primary key, for a change that their facts do not show.

    ``recorded`` tells whether something was recorded about them, or the change follows from something else.
    """
    execution.execute(
        compose(
            f"INSERT INTO {TOUCHED_TABLE} (customer_id, recorded)"
            " WITH who (customer_id) AS ({customers}) SELECT customer_id, {recorded} FROM who",
            customers=customers,
            recorded=recorded,
        )
    )


def move_touched(table: str) -> int:
    """Move the touched customers from their queue into a table. Return how many.

    The table has ``customer_id`` and ``recorded``: 0, 1 if something was recorded about the customer, or 2 if another
    profile was merged into theirs.
    """
    return backends.move_rows(TOUCHED_TABLE, ("customer_id", "recorded", "merged"), _copy_sql(table))


def copy_touched(table: str) -> int:
    """Copy the touched customers into a table and leave the queue as it is. Return how many."""
    return execution.execute(_copy_sql(table).format(TOUCHED_TABLE))


def _copy_sql(table: str) -> str:
    state = "max(CASE WHEN merged THEN 2 WHEN recorded THEN 1 ELSE 0 END)"
    return f"""INSERT INTO {table} (customer_id, recorded)
        SELECT customer_id, {state} FROM {{}} AS taken GROUP BY customer_id"""
