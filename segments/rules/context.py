"""What rules are evaluated with: the instant, the facts, and the population statistics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet, Value

from customers.models import COUNTING_STATUSES, Event, Facts, FactsAsOf, Order

from .late_params import ColumnInstant, LateInstant, LateParam
from .population import PopulationStatistics, StatisticValue


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """What a rule is evaluated with. No rule reads the clock.

    ``facts`` names the relation of a customer that holds the facts at ``at``. ``statistics`` are the population
    statistics at ``at``. A placeholder has no instant and no statistics yet. With ``customer``, a primary key, queries
    about that customer alone are built: where tables are distributed, one machine then answers.

    A context that looks ahead of another one has a later instant, but the records, facts and statistics of the other:
    the future if nothing more is recorded.
    """

    at: Any  # a datetime, the LateInstant of a placeholder, or the ColumnInstant of each row
    zone: ZoneInfo
    facts: str = "facts"
    statistics: PopulationStatistics = field(default_factory=PopulationStatistics)
    is_placeholder: bool = False
    customer: int | None = None
    among: Sequence[int] | None = None  # keys of customers to whose rows queries of borders are limited
    asks_rules: bool = False
    """Whether a question about the members of another segment asks its rule at the instant, not the stored members."""
    looks_ahead_of: "EvaluationContext | None" = None
    span_ahead: timedelta = timedelta()

    def ahead(self, span: timedelta) -> "EvaluationContext":
        """Return the context that looks ahead of this one. Spans add up."""
        return replace(
            self, at=self.at + span, looks_ahead_of=self.of_records, span_ahead=self.span_ahead + span
        )

    def at_instants(self, column: str) -> "EvaluationContext":
        """Return the context that looks ahead of this one to the instant that each row has in a column."""
        return replace(self, at=ColumnInstant(column), looks_ahead_of=self.of_records)

    @property
    def of_records(self) -> "EvaluationContext":
        """The context that this one looks ahead of, or itself. Its instant is that of the records and statistics."""
        return self.looks_ahead_of or self

    def filled(self, replacements: Mapping["EvaluationContext", "EvaluationContext"]) -> "EvaluationContext":
        """Return the context that replaces this one, if it is a placeholder or looks ahead of one."""
        start = self.looks_ahead_of
        if start is not None and start in replacements:
            return replacements[start].ahead(self.span_ahead)
        return replacements.get(self, self)

    def late_param(self, fill: Callable[["EvaluationContext"], Any], output_field: Any = None) -> LateParam:
        """Return a parameter that ``fill`` computes from this context, or from the one that replaces it."""
        return LateParam(fill, self, output_field=output_field)

    def statistic(
        self, statistic: "Statistic", convert: Callable[[Any], Any] = lambda value: value
    ) -> LateParam:
        """Return a parameter for a statistic, converted by ``convert``; NULL if the population is empty."""

        def fill(context: EvaluationContext) -> Any:
            value = statistic.value_in(context)
            return None if value is None else convert(value)

        return self.late_param(fill, BigIntegerField())

    def fact(self, name: str) -> F:
        return F(f"{self.facts}__{name}")

    def facts_rows(self) -> QuerySet[Any]:
        """Return the rows of the relation that holds the facts."""
        return Facts.objects.all() if self.facts == "facts" else FactsAsOf.objects.all()

    @property
    def has_indexed_moments(self) -> bool:
        """Whether the moments among the facts are indexed, as those of the past are (``customers.facts.past``)."""
        return self.facts == "facts_as_of"

    @property
    def has_totals(self) -> bool:
        """Whether the totals of buyers are those of its facts."""
        return self.facts == "facts" or self.statistics.totals is not None

    @property
    def customer_key(self) -> OuterRef | Value:
        """The key of the customer whom a sub-select looks up: a reference does not tell the machine, a value does."""
        return OuterRef("pk") if self.customer is None else Value(self.customer)

    def orders(self, *, counting: bool = True) -> QuerySet[Order]:
        """Return the orders of the outer query's customer, by default only those that count."""
        return self._of_customer(self.all_orders(counting=counting))

    def events(self) -> QuerySet[Event]:
        """Return the events of the outer query's customer."""
        return self._of_customer(self.all_events())

    def _of_customer(self, records: QuerySet[Any]) -> QuerySet[Any]:
        if self.customer is not None and isinstance(self.at, ColumnInstant):
            records = records.filter(customer=OuterRef("pk"))  # the sub-select refers to rows of borders
        return records.filter(customer=self.customer_key)

    def all_orders(self, *, counting: bool = True) -> QuerySet[Order]:
        """Return the orders of all customers, by default only those that count."""
        orders = Order.objects.filter(placed_at__lte=self.of_records.at).order_by()
        return orders.filter(status__in=COUNTING_STATUSES) if counting else orders

    def all_events(self) -> QuerySet[Event]:
        """Return the events of all customers."""
        return Event.objects.filter(occurred_at__lte=self.of_records.at).order_by()

    def limited(self, rows: QuerySet[Any], key: str) -> QuerySet[Any]:
        """Limit rows to the customer of the context, or to those it names. ``key`` is the column of their key."""
        if self.customer is not None:
            return rows.filter(**{key: self.customer})
        return rows if self.among is None else rows.filter(**{f"{key}__in": self.among})

    def existing_q(self) -> Q:
        """Build the query of customers first seen by the instant of the records."""
        return Q(**{f"{self.facts}__first_seen_at__lte": self.of_records.at})


def placeholder_context(
    zone: ZoneInfo, facts: str = "facts", customer: int | None = None
) -> EvaluationContext:
    """Return a context to compile queries with before their instant is known."""
    placeholder = EvaluationContext(None, zone, facts, is_placeholder=True, customer=customer)
    object.__setattr__(placeholder, "at", LateInstant(placeholder))
    return placeholder


@dataclass(frozen=True)
class Statistic:
    """A population statistic that a condition needs.

    ``changes_with_time`` tells whether time alone can change it. ``is_from_totals`` tells whether it is computed from
    sums that fact updates maintain, which is cheap.
    """

    name: str
    compute: Callable[[EvaluationContext], StatisticValue]
    changes_with_time: bool = False
    is_from_totals: bool = False

    def value_in(self, context: EvaluationContext) -> StatisticValue:
        """Return the value in a context. It is computed once for each context, over all customers.

        Looking ahead changes no statistic.
        """
        everybody = context.of_records
        if everybody.customer is not None:
            everybody = replace(everybody, customer=None)
        return context.statistics.get_or_compute(self.name, lambda: self.compute(everybody))
