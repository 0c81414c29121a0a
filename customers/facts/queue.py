"""What ingestion queues: customers whose facts are recomputed, and those who are only evaluated anew."""

from core.db import execution
from core.db.sql import Query, compile_query, compose

from .touched_customers import touch_customers


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


def queue_for_evaluation(customers: Query) -> None:
    """Queue customers, selected by primary key, about whom something was recorded that changes no fact.

    Those without facts get them: they are new.
    """
    keys = compile_query(customers)
    with_facts = compose("SELECT customer_id FROM customers_facts WHERE customer_id IN ({keys})", keys=keys)
    touch_customers(with_facts, recorded=True)
    mark_facts_stale(compose("{keys} EXCEPT {with_facts}", keys=keys, with_facts=with_facts))
