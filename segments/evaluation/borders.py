"""The answers of rules at the instants at which time alone can change them, if nothing more is recorded.

With the records fixed, an answer is constant between two of the rule's borders (``Rule.borders``). So the answers at
the borders tell them for every later instant. One statement evaluates many rules at the borders of many customers: it
joins the customers with their borders, and the instant of the evaluation context is a column of each row.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BigIntegerField, BooleanField, Case, DateTimeField, Q, Value, When
from django.db.models.expressions import RawSQL

from core.db import dialect
from core.db.sql import Query, Sql, compose, union_all
from customers.models import Customer
from segments.rules import EvaluationContext, LateParam, Rule
from segments.rules.late_params import LateInstant

from .matching import existing_customers, sum_in_pairs

BITS: Final = 60
"""How many rules have their answers in one column of bits, a signed 64-bit integer."""

_SOURCES: Final = (
    61  # bits; a rule with more queries of borders is evaluated at some borders of other rules, too
)
_START: Final = 1 << _SOURCES
ANY_CUSTOMER: Final = -(2**62)
"""The customer of a placeholder: no customer has this key."""
_AFTER = object()  # a parameter that stands for an instant
_INTEGER = BigIntegerField()


@dataclass(frozen=True)
class AnswersAtBorders:
    """Answers of several rules.

    ``sql`` selects the customer's key, an instant, what concerns the instant, and a column of bits for each ``BITS``
    rules, in which those that match are set. A rule is evaluated where its ``sources`` have a bit in common with what
    concerns the instant. Elsewhere its bit is 0.
    """

    sql: Sql
    sources: Sequence[int]
    has_borders: bool

    def filled(self, placeholder: EvaluationContext, context: EvaluationContext, after: datetime) -> Sql:
        """Return the query with another context for the placeholder, for the customer of that context.

        The rows are those later than ``after``.
        """

        def value(param: Any) -> Any:
            if param is _AFTER:
                return dialect.datetime_param(after)
            if isinstance(param, LateParam):
                return param.filled({placeholder: context})
            return context.customer if param == ANY_CUSTOMER else param

        return Sql(self.sql.text, tuple(map(value, self.sql.params)))


def answers_at_borders(
    asked: Sequence[tuple[Rule, timedelta]],
    context: EvaluationContext,
    within: timedelta,
    limit: int | None = None,
) -> AnswersAtBorders:
    """Return the answers of rules at their borders, for all customers or for that of the context.

    Each rule must be expanded, and is asked a span ahead. The borders are at most ``within`` later than the instant of
    the context. The answers at this instant are included: for the one customer, or for each customer with a border.
    For one customer, there are at most ``limit`` rows, in order of time.
    """
    queries: dict[Hashable, tuple[Sql, int]] = {}
    sources = [_sources_of(rule, context.ahead(span), within, queries) for rule, span in asked]
    instants = context.at_instants("borders.border")
    bits = [
        Case(
            When(_is_concerned(mask) & rule.q(instants.ahead(span)), then=Value(1 << place % BITS)),
            default=Value(0),
            output_field=_INTEGER,
        )
        for place, ((rule, span), mask) in enumerate(zip(asked, sources, strict=True))
    ]
    columns = [sum_in_pairs(bits[start : start + BITS]) for start in range(0, len(bits), BITS)]
    # Django does not know the table of the WITH clause.
    rows = existing_customers(context).extra(
        tables=["borders"], where=["borders.customer_id = customers_customer.id"]
    )
    if context.customer is not None:
        rows = rows.filter(pk=context.customer).order_by(_border())
        rows = rows.extra(where=["borders.border > %s"], params=[_AFTER])
    answers = rows.values_list(
        "pk", _border(), RawSQL("borders.sources", (), output_field=_INTEGER), *columns
    )[:limit]
    borders = _borders(list(queries.values()), context)
    sql = compose("WITH borders AS ({borders}) {answers}", borders=borders, answers=answers)
    return AnswersAtBorders(sql, [mask | _START for mask in sources], bool(queries))


def _is_concerned(mask: int) -> Q:
    return Q(RawSQL(f"(borders.sources & {mask | _START}) <> 0", (), output_field=BooleanField()))


def _border() -> RawSQL:
    return RawSQL("borders.border", (), output_field=DateTimeField())


def _sources_of(
    rule: Rule,
    context: EvaluationContext,
    within: timedelta,
    queries: dict[Hashable, tuple[Sql, int]],
) -> int:
    """Return the bits of the queries of a rule's borders. Rules with the same query share its bit."""
    mask = 0
    for query in rule.borders(context, within):
        sql = _compile_nonempty(query)
        if sql is not None:
            bit = 1 << len(queries) % _SOURCES
            key = sql.text, tuple(map(_identity, sql.params))
            mask |= queries.setdefault(key, (sql, bit))[1]
    return mask


def _identity(param: Any) -> Hashable:
    return param.identity if isinstance(param, LateInstant) else repr(param)


def _compile_nonempty(query: Query) -> Sql | None:
    if isinstance(query, Sql):
        return query
    try:
        text, params = query.query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return None
    return Sql(text, tuple(params))


def _borders(queries: Sequence[tuple[Sql, int]], context: EvaluationContext) -> Sql:
    """Return the query of customers with instants and the bits of the queries that select them."""
    at = context.at if context.is_placeholder else dialect.datetime_param(context.at)
    start = Sql(f"CAST(%s AS {dialect.datetime_type_sql()})", (at,))
    found = [compose(f"SELECT key, border, {bit} AS source FROM ({{query}}) AS found", query=query)
             for query, bit in queries]  # fmt: skip
    if context.customer is None:
        found += [
            compose(f"SELECT key, {{start}}, {bit} FROM ({{query}}) AS found", start=start, query=query)
            for query, bit in queries
        ]
    else:
        table = Customer._meta.db_table
        found.append(
            compose(
                f"SELECT id AS key, {{start}} AS border, {_START} AS source FROM {table} WHERE id = {{key}}",
                start=start,
                key=context.customer,
            )
        )
    nothing = Sql(
        f"SELECT 0 AS key, CAST(NULL AS {dialect.datetime_type_sql()}) AS border, 0 AS source WHERE 1 = 0"
    )
    return compose(
        """SELECT key AS customer_id, border, CAST(sum(DISTINCT source) AS bigint) AS sources
            FROM ({found}) AS found GROUP BY key, border""",
        found=union_all(found or [nothing]),
    )
