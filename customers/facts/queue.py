"""The queue of customers whose facts are to be recomputed."""

from core.db import execution
from core.db.sql import Query, compose


def mark_facts_stale(customers: Query, *, merged: bool = False) -> None:
    """Queue customers, selected by primary key, to have their facts recomputed.

    ``merged`` says that profiles were merged.
    """
    execution.execute(
        compose(
            f"""INSERT INTO customers_stalefacts (customer_id, merged)
                SELECT DISTINCT touched.*, {"true" if merged else "false"} FROM ({{customers}}) AS touched""",
            customers=customers,
        )
    )
