"""The queue of customers whose facts are to be recomputed."""

from core.db import execution
from core.db.sql import Query, compose


def queue_stale(customers: Query, *, merged: bool = False) -> None:
    """Queue customers, selected by their keys, for their facts to be updated; ``joined`` where histories moved."""
    execution.execute(
        compose(
            f"""INSERT INTO customers_stalefacts (customer_id, merged)
                SELECT DISTINCT touched.*, {"true" if merged else "false"} FROM ({{customers}}) AS touched""",
            customers=customers,
        )
    )
