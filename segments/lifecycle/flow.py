"""Who went from which stage to which between the ends of two days.

All stages are evaluated together, once at each of the two days: their rules of today, over the records up to then. A
customer is in the first stage whose rule matches. Temporary tables hold the stages of the customers.
"""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from django.db.models import Case, SmallIntegerField, Value, When

from core.db import dialect, execution, temporary_tables, time_limits, transactions
from core.db.sql import Sql, compile_query, compose
from core.values.decimals import from_units
from core.values.sortable_values import end_of_day
from customers.facts import update
from customers.models import COUNTING_STATUSES, FactsAsOf, Order
from segments.evaluation.context import shop_zone, stored_context_at
from segments.evaluation.expansion import expand_for_past
from segments.evaluation.matching import existing_customers
from segments.rules import EvaluationContext, Rule
from segments.stages import NO_STAGE, Stage

_ORDERS: Final = Order._meta.db_table
_AS_OF: Final = FactsAsOf._meta.db_table
_COUNTING: Final = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
_FROM, _TO, _REVENUE = "flow_from", "flow_to", "flow_revenue"
_NONE: Final = -1
"""The place of no stage in the temporary tables."""

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 30)
"""The days for which a flow can be computed."""


@dataclass(frozen=True)
class FlowCell:
    """The customers who were in one stage, and are in one later. ``NO_STAGE`` stands for no stage.

    ``revenue`` is that of their counting orders placed between.
    """

    source: str
    target: str
    customers: int
    revenue: Decimal


@dataclass(frozen=True)
class Flow:
    """The cells with customers between the ends of two days, by the order of the stages, no stage last."""

    since: date
    until: date
    cells: tuple[FlowCell, ...]

    def before(self, slug: str) -> int:
        """Return how many customers were in a stage at the end of the first day."""
        return sum(cell.customers for cell in self.cells if cell.source == slug)

    def after(self, slug: str) -> int:
        """Return how many customers were in a stage at the end of the last day."""
        return sum(cell.customers for cell in self.cells if cell.target == slug)

    def entered(self, slug: str) -> int:
        return sum(cell.customers for cell in self.cells if cell.target == slug != cell.source)

    def left(self, slug: str) -> int:
        return sum(cell.customers for cell in self.cells if cell.source == slug != cell.target)


def compute_flow(stages: Sequence[Stage], since: date, until: date, seconds: float | None = None) -> Flow:
    """Return the flow between the ends of two days.

    Raises RuleError if the rule of a stage is invalid, and StatementTimeout if it takes longer than ``seconds``.
    """
    with _evaluated(stages, since, until, seconds):
        return _read_flow(stages, since, until)


def compute_flow_with_customers(
    stages: Sequence[Stage], since: date, until: date, seconds: float | None = None
) -> tuple[Flow, Mapping[tuple[str, str], "array[int]"]]:
    """Return the flow, and the keys of the customers of each cell in their order. Raises as ``compute_flow`` does."""
    with _evaluated(stages, since, until, seconds):
        flow = _read_flow(stages, since, until)
        customers = {(cell.source, cell.target): array("q") for cell in flow.cells}
        rows = execution.fetch_all(
            f"""SELECT t.customer_id, COALESCE(f.stage, {_NONE}), t.stage
                FROM {_TO} t LEFT JOIN {_FROM} f ON f.customer_id = t.customer_id ORDER BY t.customer_id"""
        )
        for customer, source, target in rows:
            customers[_slug(stages, source), _slug(stages, target)].append(customer)
        return flow, customers


@contextmanager
def _evaluated(stages: Sequence[Stage], since: date, until: date, seconds: float | None) -> Iterator[None]:
    """Fill the temporary tables, and keep the snapshot of the database for the block."""
    ends = end_of_day(since, shop_zone()), end_of_day(until, shop_zone())
    at = min(ends[1], datetime.now(UTC))
    if seconds is None:
        update.update_facts(at)
    else:
        update.update_facts_within(seconds, at)
    expanded = [one.rule for one in expand_for_past(stage.rule for stage in stages)]
    with transactions.snapshot() if seconds is None else time_limits.time_limit(seconds):
        only = _facts_read(expanded, ends[0])
        for table, end in zip((_FROM, _TO), ends, strict=True):
            context = stored_context_at(end, asks_rules=True, only=only)
            _fill_stages(table, expanded, context)
        _fill_revenue(*ends)
        yield


def _facts_read(rules: Sequence[Rule], at: datetime) -> set[str] | None:
    """Return the facts that rules read. None if they may read all: for statistics, or under another name."""
    if any(rule.statistics() for rule in rules):
        return None
    text = _stages_sql(rules, EvaluationContext(at, shop_zone(), "facts_as_of", asks_rules=True)).text
    if len(re.findall(rf'"{_AS_OF}"(?!\.)', text)) != 1 or f'JOIN "{_AS_OF}" ON' not in text:
        return None
    return set(re.findall(rf'"{_AS_OF}"\."(\w+)"', text))


def _stages_sql(rules: Sequence[Rule], context: EvaluationContext) -> Sql:
    """Return a query of the customers, each with the place of the first rule that matches."""
    place = Case(
        *(When(rule.q(context), then=Value(place)) for place, rule in enumerate(rules)),
        default=Value(_NONE),
        output_field=SmallIntegerField(),
    )
    return compile_query(existing_customers(context).values_list("pk", place))


def _fill_stages(table: str, rules: Sequence[Rule], context: EvaluationContext) -> None:
    answers = _stages_sql(rules, context)
    temporary_tables.create_temporary_table(table, "customer_id bigint PRIMARY KEY, stage smallint NOT NULL")
    execution.execute(Sql(f"INSERT INTO {table} (customer_id, stage) ") + answers)


def _fill_revenue(since: datetime, until: datetime) -> None:
    temporary_tables.create_temporary_table(
        _REVENUE, "customer_id bigint PRIMARY KEY, revenue bigint NOT NULL"
    )
    execution.execute(
        compose(
            f"""INSERT INTO {_REVENUE} (customer_id, revenue)
                SELECT customer_id, CAST(sum(total - refunded_total) AS bigint) FROM {_ORDERS}
                WHERE placed_at > {{since}} AND placed_at <= {{until}} AND status IN ({_COUNTING})
                GROUP BY customer_id""",
            since=dialect.datetime_param(since),
            until=dialect.datetime_param(until),
        )
    )


def _read_flow(stages: Sequence[Stage], since: date, until: date) -> Flow:
    rows = execution.fetch_all(
        f"""SELECT COALESCE(f.stage, {_NONE}) AS source, t.stage AS target, count(*),
                CAST(COALESCE(sum(r.revenue), 0) AS bigint)
            FROM {_TO} t LEFT JOIN {_FROM} f ON f.customer_id = t.customer_id
            LEFT JOIN {_REVENUE} r ON r.customer_id = t.customer_id
            GROUP BY COALESCE(f.stage, {_NONE}), t.stage"""
    )
    last = len(stages)
    ordered = sorted(rows, key=lambda row: tuple(last if place == _NONE else place for place in row[:2]))
    return Flow(
        since,
        until,
        tuple(
            FlowCell(_slug(stages, source), _slug(stages, target), customers, from_units(revenue))
            for source, target, customers, revenue in ordered
        ),
    )


def _slug(stages: Sequence[Stage], place: int) -> str:
    return NO_STAGE if place == _NONE else stages[place].slug
