"""Step 3 of a refresh: evaluate rules, and find the customers whose answers differ from the stored members.

The answers of several segments for one customer are the bits of one number. A customer whose bits differ from the
stored members, or who became known or unknown, is a row of the table ``differences``.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import structlog
from django.conf import settings

from core.db import backends, dialect, execution, temporary_tables, time_limits
from core.db.sql import Query, Sql, compose
from segments.evaluation.compiler import CompiledRules
from segments.models import Membership, Segment
from segments.rules import EvaluationContext

log = structlog.get_logger(__name__)

_MEMBERS = Membership._meta.db_table

EVALUATION_BATCH_SIZE = 5_000  # customers, if one statement for all of them takes too long
FEW_CUSTOMERS = 500  # for so few, the planner chooses look-ups by itself, and each statement counts

CHANGED_CUSTOMERS_SQL = Sql("SELECT customer_id AS key FROM differences WHERE bits <> stored")
"""The query of customers who enter or leave a segment."""


def evaluate(
    segments: Sequence[Segment],
    compiled: CompiledRules,
    context: EvaluationContext,
    table: str = "",
    count: int | None = None,
) -> int:
    """Evaluate segments for all customers, or those in a table; return the number of differences.

    If the statement takes longer than STATEMENT_LIMIT, the customers are evaluated in batches. ``count`` is the number
    of customers in the table, if the caller knows it: a single batch has no limit.
    """
    answers = compiled.table_answers_sql(table, context) if table else compiled.all_answers_sql(context)
    gathers_members = bool(table) and (count is None or count > FEW_CUSTOMERS)
    empty_differences()
    if table and count is not None and count <= EVALUATION_BATCH_SIZE:
        return add_differences(segments, answers, table, gathers_members=gathers_members)
    try:
        with time_limits.roll_back_after(settings.STATEMENT_LIMIT):
            return add_differences(segments, answers, table, gathers_members=gathers_members)
    except time_limits.StatementTimeout:
        log.warning("refresh_evaluated_in_batches", segments=len(segments))
    empty_differences()
    return sum(
        add_differences(segments, compiled.table_answers_sql(part, context), part)
        for part in _batch_tables(table)
    )


def add_differences(
    segments: Sequence[Segment], answers: Query, table: str = "", *, gathers_members: bool = False
) -> int:
    """Compare answers with the stored members. Return how many customers differ.

    ``answers`` selects customer, bits, and 1 for a known customer. ``table`` is the table of these customers, unless
    they are all customers. None of them may be in ``differences`` yet. ``gathers_members`` looks up their members by
    key, in a statement of its own.
    """
    stored = " ".join(f"WHEN {segment.pk} THEN {1 << place}" for place, segment in enumerate(segments))
    only_table = f"AND customer_id IN (SELECT customer_id FROM {table})" if table else ""
    keys = ", ".join(str(segment.pk) for segment in segments)
    members = f"""SELECT customer_id, CAST(sum(CASE segment_id {stored} END) AS bigint),
            CAST(sum(CASE WHEN is_known THEN CASE segment_id {stored} END ELSE 0 END) AS bigint)
        FROM {_MEMBERS} WHERE segment_id IN ({keys}) {only_table} GROUP BY customer_id"""
    if gathers_members:
        members = _gather_members(members)
    return execution.execute(
        compose(
            f"""INSERT INTO differences (customer_id, bits, stored, known, stored_known)
                WITH answered (customer_id, bits, known) AS ({{answers}}),
                    members (customer_id, bits, known) AS ({members})
                SELECT customer_id, max(bits), max(stored), max(known), max(stored_known) FROM (
                    SELECT customer_id, bits, 0 AS stored, bits * known AS known, 0 AS stored_known FROM answered
                    UNION ALL SELECT customer_id, 0, bits, 0, known FROM members
                ) AS compared
                GROUP BY customer_id HAVING max(bits) <> max(stored) OR max(known) <> max(stored_known)""",
            answers=answers,
        )
    )


def _gather_members(members: str) -> str:
    """Copy the result of a query of members to a temporary table. Return the query of that."""
    temporary_tables.create_temporary_table(
        "gathered_members", "customer_id bigint, bits bigint, known bigint", joined_on=("customer_id",)
    )
    with backends.looking_up_by_key():
        execution.execute(f"INSERT INTO gathered_members {members}")
    return "SELECT customer_id, bits, known FROM gathered_members"


def empty_differences() -> None:
    """Create the table of differences, or empty it."""
    temporary_tables.create_temporary_table(
        "differences",
        "customer_id bigint PRIMARY KEY, bits bigint, stored bigint, known bigint, stored_known bigint",
        joined_on=("customer_id",),
        joins_large=True,
    )


def gather_customers(
    at: datetime, former_answers: Query | None = None, *, facts_may_be_newer: bool = True
) -> None:
    """Copy what explains the changes of the customers in ``differences`` to the table ``differing_customers``.

    ``latest_at`` is the instant of a customer's latest record up to ``at``. ``former_answers`` are the answers that the
    former statistics would give, if these have changed. ``facts_may_be_newer`` tells whether a stored row can contain
    a record dated after ``at``; then the records are asked.
    """
    moment = dialect.datetime_type_sql()
    temporary_tables.create_temporary_table(
        "differing_customers",
        "customer_id bigint PRIMARY KEY, public_id text, merged_into_id bigint,"
        f" first_seen_at {moment}, latest_at {moment}, former_bits bigint",
        joined_on=("customer_id", "merged_into_id"),
    )
    latest_at = "f.newest_at"
    if facts_may_be_newer:
        latest = dialect.greatest_sql(
            *(
                f"(SELECT max({column}) FROM {table} r WHERE r.customer_id = c.id AND r.{column} <= {{at}})"
                for table, column in (("customers_order", "placed_at"), ("customers_event", "occurred_at"))
            )
        )
        latest_at = f"CASE WHEN f.newest_at > {{at}} THEN {latest} ELSE f.newest_at END"
    answers, former_bits, joined = Sql(""), "NULL", ""
    if former_answers is not None:
        answers = compose("WITH former (customer_id, bits, known) AS ({answers})", answers=former_answers)
        former_bits, joined = "a.bits", "LEFT JOIN former a ON a.customer_id = c.id"
    execution.execute(
        compose(
            f"""INSERT INTO differing_customers (
                    customer_id, public_id, merged_into_id, first_seen_at, latest_at, former_bits)
                {{answers}}
                SELECT c.id, c.customer_id, c.merged_into_id, f.first_seen_at, {latest_at}, {former_bits}
                FROM customers_customer c LEFT JOIN customers_facts f ON f.customer_id = c.id {joined}
                WHERE c.id IN (SELECT customer_id FROM differences)""",
            answers=answers,
            at=dialect.datetime_param(at),
        )
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
