"""Step 3 of a refresh: evaluate rules, and find the customers whose answers differ from the stored members.

The answers of several segments for one customer are the bits of one number. A customer whose bits differ from the
stored members, or who became known or unknown, is a row of the table ``differences``.
"""

from collections.abc import Iterator, Sequence

import structlog
from django.conf import settings

from core.db import execution, temporary_tables, time_limits
from core.db.sql import Query, Sql, compose
from segments.evaluation.compiler import CompiledRules
from segments.models import Membership, Segment
from segments.rules import EvaluationContext

log = structlog.get_logger(__name__)

_MEMBERS = Membership._meta.db_table

EVALUATION_BATCH_SIZE = 5_000  # customers, if one statement for all of them takes too long

CHANGED_CUSTOMERS_SQL = Sql("SELECT customer_id FROM differences WHERE bits <> stored")
"""The query of customers who enter or leave a segment."""


def evaluate(
    segments: Sequence[Segment], compiled: CompiledRules, context: EvaluationContext, table: str = ""
) -> int:
    """Evaluate segments for all customers, or those in a table; return the number of differences.

    If the statement takes longer than STATEMENT_LIMIT, the customers are evaluated in batches.
    """
    answers = compiled.table_answers_sql(table, context) if table else compiled.all_answers_sql(context)
    empty_differences()
    try:
        with time_limits.roll_back_after(settings.STATEMENT_LIMIT):
            return add_differences(segments, answers, table)
    except time_limits.StatementTimeout:
        log.warning("refresh_evaluated_in_batches", segments=len(segments))
    empty_differences()
    return sum(
        add_differences(segments, compiled.table_answers_sql(part, context), part)
        for part in _batch_tables(table)
    )


def add_differences(segments: Sequence[Segment], answers: Query, table: str = "") -> int:
    """Compare answers with the stored members. Return how many customers differ.

    ``answers`` selects customer, bits, and 1 for a known customer. ``table`` is the table of these customers, unless
    they are all customers. None of them may be in ``differences`` yet.
    """
    stored = " ".join(f"WHEN {segment.pk} THEN {1 << place}" for place, segment in enumerate(segments))
    only_table = f"AND customer_id IN (SELECT customer_id FROM {table})" if table else ""
    keys = ", ".join(str(segment.pk) for segment in segments)
    return execution.execute(
        compose(
            f"""INSERT INTO differences (customer_id, bits, stored, known, stored_known)
                WITH answered (customer_id, bits, known) AS ({{answers}}), members (customer_id, bits, known) AS (
                    SELECT customer_id, CAST(sum(CASE segment_id {stored} END) AS bigint),
                        CAST(sum(CASE WHEN is_known THEN CASE segment_id {stored} END ELSE 0 END) AS bigint)
                    FROM {_MEMBERS} WHERE segment_id IN ({keys}) {only_table}
                    GROUP BY customer_id)
                SELECT customer_id, max(bits), max(stored), max(known), max(stored_known) FROM (
                    SELECT customer_id, bits, 0 AS stored, bits * known AS known, 0 AS stored_known FROM answered
                    UNION ALL SELECT customer_id, 0, bits, 0, known FROM members
                ) AS compared
                GROUP BY customer_id HAVING max(bits) <> max(stored) OR max(known) <> max(stored_known)""",
            answers=answers,
        )
    )


def empty_differences() -> None:
    """Create the table of differences, or empty it."""
    temporary_tables.create_temporary_table(
        "differences",
        "customer_id bigint PRIMARY KEY, bits bigint, stored bigint, known bigint, stored_known bigint,"
        " former_bits bigint",
    )


def add_answers_with_former_statistics(answers: Query) -> None:
    """Add to the differences the answers that the former statistics would give."""
    temporary_tables.create_temporary_table(
        "former_answers", "customer_id bigint PRIMARY KEY, bits bigint, known bigint"
    )
    execution.execute(compose("INSERT INTO former_answers {answers}", answers=answers))
    execution.execute(
        """UPDATE differences SET former_bits = (
            SELECT f.bits FROM former_answers f WHERE f.customer_id = differences.customer_id)"""
    )


def _batch_tables(table: str) -> Iterator[str]:
    """Copy all customers, or those in a table, in batches to a smaller table; yield its name for each batch."""
    customers = f"SELECT customer_id FROM {table}" if table else "SELECT id FROM customers_customer"
    last_key = 0
    while True:
        temporary_tables.create_temporary_table("evaluation_batch", "customer_id bigint PRIMARY KEY")
        execution.execute(
            f"""INSERT INTO evaluation_batch (customer_id)
                SELECT customer_id FROM ({customers}) AS customers (customer_id)
                WHERE customer_id > %s ORDER BY customer_id LIMIT {EVALUATION_BATCH_SIZE}""",
            [last_key],
        )
        [(max_key,)] = execution.fetch_all("SELECT max(customer_id) FROM evaluation_batch")
        if max_key is None:
            return
        last_key = max_key
        yield "evaluation_batch"
