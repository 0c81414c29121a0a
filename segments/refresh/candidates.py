"""Step 2 of a refresh: the customers whose membership can differ from the stored one, in the table ``candidates``.

These are the touched customers, and those for whom time or a statistic can change an answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from core.db import execution, temporary_tables
from core.db.sql import Query, compose
from customers.facts import touched_customers
from segments.evaluation.compiler import compile_rules
from segments.models import Refresh, Segment
from segments.rules import EvaluationContext, PopulationStatistics

from .plan import PlannedSegment, RefreshPlan

CANDIDATES: Final = "candidates"


@dataclass(frozen=True)
class Candidates:
    """How many customers are candidates, and how many of them are touched: something was recorded about them."""

    count: int
    touched: int


def find_candidates(plan: RefreshPlan) -> Candidates:
    """Fill the table with the candidates of the plan's incremental segments.

    The queue of touched customers is emptied if the plan says so, and only read otherwise.
    """
    create_table()
    fill = touched_customers.move_touched if plan.empties_queue else touched_customers.copy_touched
    # Customers who are touched from now on are left to the next refresh.
    touched = fill(CANDIDATES) if plan.has_touched else 0
    added = sum(
        add_candidates(query)
        for refresh, planned in _by_last_refresh(plan)
        for query in compile_rules([one.expanded for one in planned]).may_flip(
            _former_context(refresh, planned[0].segment, plan.context), plan.context
        )
    )
    return Candidates(touched + added, touched)


def add_candidates(customers: Query) -> int:
    """Add the customers whose keys a query selects as ``key``. Return how many were not candidates yet."""
    return execution.execute(
        compose(
            """INSERT INTO candidates (customer_id, recorded)
                SELECT key, 0 FROM ({customers}) AS named WHERE true ON CONFLICT (customer_id) DO NOTHING""",
            customers=customers,
        )
    )


def create_table() -> None:
    """Create the table, or empty it. ``recorded`` is 2 for merged, 1 for touched and 0 for other customers."""
    temporary_tables.create_temporary_table(
        CANDIDATES, "customer_id bigint PRIMARY KEY, recorded integer", joins_large=True
    )


def _by_last_refresh(plan: RefreshPlan) -> Iterable[tuple[Refresh, Sequence[PlannedSegment]]]:
    incremental: dict[int, list[PlannedSegment]] = {}
    refreshes: dict[int, Refresh] = {}
    for planned in plan.planned:
        refresh = planned.segment.refresh
        if not planned.is_full and refresh is not None:
            refreshes[refresh.pk] = refresh
            incremental.setdefault(refresh.pk, []).append(planned)
    for key, refresh in refreshes.items():
        yield refresh, incremental[key]


def _former_context(refresh: Refresh, segment: Segment, context: EvaluationContext) -> EvaluationContext:
    """Return the context in which the former refresh evaluated a segment."""
    return EvaluationContext(
        segment.refreshed_at, context.zone, statistics=PopulationStatistics(refresh.statistics)
    )
