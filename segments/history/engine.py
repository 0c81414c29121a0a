"""Sizes of the past, day by day: an incremental refresh of scratch tables that moves through the past.

The first day is evaluated in full. Each later one costs what was recorded on it and what came due by time:
``docs/time.md`` describes it. Nothing is written but temporary tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core.db import execution, temporary_tables, transactions
from core.db.sql import Query, compose
from core.values.sortable_values import end_of_day
from customers.facts import past
from customers.facts.past import PastFacts
from segments.evaluation.compiler import MAX_RULES_PER_STATEMENT, CompiledRules
from segments.evaluation.expansion import ExpandedRule
from segments.rules import EvaluationContext, PopulationStatistics

DAY: Final = timedelta(days=1)

_CANDIDATES: Final = "history_candidates"
_DIFFERENCES: Final = "history_differences"


@dataclass(frozen=True)
class DayCount:
    """One day of a rule: how many match at its end, and how many more and fewer than at the end of the day before."""

    size: int
    entered: int
    left: int


def history_days(
    rules: Sequence[ExpandedRule], first: date, last: date, zone: ZoneInfo
) -> Iterator[tuple[date, list[DayCount]]]:
    """Yield the days from the first to the last one, with the counts of each rule in their order.

    The rules are those to ask in the past: ``SegmentRules.expand(…, asks_rules=True)``. Facts are those of the records
    whose facts are stored. Between two days, no other code may use the temporary table ``FactsAsOf``.
    """
    batches = [
        _Batch(rules[start : start + MAX_RULES_PER_STATEMENT], start, zone)
        for start in range(0, len(rules), MAX_RULES_PER_STATEMENT)
    ]
    try:
        with transactions.snapshot():
            facts = past.fill(end_of_day(first - DAY, zone), _looked_up(batches))
            for batch in batches:
                batch.begin(facts)
        for number in range((last - first).days + 1):
            day = first + number * DAY
            with transactions.snapshot():
                transactions.prefer_indexes()
                facts = past.advance(facts, end_of_day(day, zone))
                counts = [count for batch in batches for count in batch.move(facts)]
            yield day, counts
    finally:
        past.drop_indexes()


def _looked_up(batches: Sequence["_Batch"]) -> list[str]:
    """Return the columns of facts of which time changes look up a range. Each index costs with each step."""
    texts = [one.sql.text for batch in batches for one in batch.compiled.may_flip_statements("facts_as_of")]
    return [name for name in past.INDEXABLE if any(f'."{name}" <= ' in text for text in texts)]


class _Batch:
    """The rules of one statement. The members of a scratch table are the customers with one bit for each rule."""

    def __init__(self, rules: Sequence[ExpandedRule], number: int, zone: ZoneInfo) -> None:
        self.zone, self.members = zone, f"history_members_{number}"
        self.compiled = CompiledRules([one.rule for one in rules], zone)
        statistics = (one for needed in self.compiled.statistics for one in needed)
        self.statistics = {one.name: one for one in statistics}
        self.sizes = [0] * len(rules)
        self.places = range(len(rules))

    def begin(self, facts: PastFacts) -> None:
        """Evaluate all customers."""
        self.buyers_version = facts.totals.buyers_version
        self.context = self._context(facts, PopulationStatistics(totals=facts.totals))
        temporary_tables.create_temporary_table(
            self.members, "customer_id bigint PRIMARY KEY, bits bigint", joined_on=("customer_id",)
        )
        rows = execution.execute(
            compose(
                f"""INSERT INTO {self.members} (customer_id, bits)
                    WITH answered (customer_id, bits, known) AS ({{answers}})
                    SELECT customer_id, bits FROM answered WHERE bits <> 0""",
                answers=self.compiled.all_answers_sql(self.context),
            )
        )
        temporary_tables.tolerate_changes(self.members, rows)
        [self.sizes] = self._sums(self.members, "bits")

    def move(self, facts: PastFacts) -> list[DayCount]:
        """Evaluate those whose answers can differ from the day before."""
        former = self.context
        unchanged = {
            name: former.statistics[name]
            for name, statistic in self.statistics.items()
            if not statistic.changes_with_time and self.buyers_version == facts.totals.buyers_version
        }
        self.buyers_version = facts.totals.buyers_version
        self.context = self._context(facts, PopulationStatistics(unchanged, totals=facts.totals))
        if not (self._find_candidates(former) and self._compare()):
            return [DayCount(size, 0, 0) for size in self.sizes]
        entered, left = self._sums(_DIFFERENCES, "bits & ~stored", "stored & ~bits")
        self._write()
        self.sizes = [size + came - went for size, came, went in zip(self.sizes, entered, left, strict=True)]
        return [DayCount(*counts) for counts in zip(self.sizes, entered, left, strict=True)]

    def _context(self, facts: PastFacts, statistics: PopulationStatistics) -> EvaluationContext:
        context = EvaluationContext(facts.at, self.zone, "facts_as_of", statistics, asks_rules=True)
        for statistic in self.statistics.values():
            statistic.value_in(context)  # now, since the facts are soon those of another day
        return context

    def _find_candidates(self, former: EvaluationContext) -> int:
        """Fill the table of those to evaluate. Return how many there are."""
        temporary_tables.create_temporary_table(
            _CANDIDATES, "customer_id bigint PRIMARY KEY", joins_large=True
        )
        touched: Query = compose(f"SELECT customer_id AS key FROM {past.TOUCHED}")
        return sum(
            execution.execute(
                compose(
                    f"""INSERT INTO {_CANDIDATES} (customer_id) SELECT key FROM ({{customers}}) AS named
                        WHERE true ON CONFLICT (customer_id) DO NOTHING""",
                    customers=customers,
                )
            )
            for customers in (touched, *self.compiled.may_flip(former, self.context))
        )

    def _compare(self) -> int:
        """Evaluate the candidates. Return how many have other answers than the day before."""
        temporary_tables.create_temporary_table(
            _DIFFERENCES, "customer_id bigint PRIMARY KEY, bits bigint, stored bigint"
        )
        return execution.execute(
            compose(
                f"""INSERT INTO {_DIFFERENCES} (customer_id, bits, stored)
                    WITH answered (customer_id, bits, known) AS MATERIALIZED ({{answers}}),
                    compared AS MATERIALIZED (
                        SELECT customer_id, bits, COALESCE(
                            (SELECT m.bits FROM {self.members} m WHERE m.customer_id = answered.customer_id), 0
                        ) AS stored FROM answered)
                    SELECT customer_id, bits, stored FROM compared WHERE bits <> stored""",
                answers=self.compiled.table_answers_sql(_CANDIDATES, self.context),
            )
        )

    def _write(self) -> None:
        execution.execute(
            f"""INSERT INTO {self.members} (customer_id, bits) SELECT customer_id, bits FROM {_DIFFERENCES}
                WHERE true ON CONFLICT (customer_id) DO UPDATE SET bits = excluded.bits"""
        )

    def _sums(self, table: str, *numbers: str) -> list[list[int]]:
        """Return how many rows of a table have each bit, for each number."""
        sums = (f"COALESCE(sum(({number}) >> {place} & 1), 0)" for number in numbers for place in self.places)
        [row] = execution.fetch_all(f"SELECT {', '.join(sums)} FROM {table}")
        counts, width = list(map(int, row)), len(self.places)
        return [counts[start : start + width] for start in range(0, len(counts), width)]
