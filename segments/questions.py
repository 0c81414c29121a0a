"""The rules of some segments as SQL: compiled once, and kept.

Compiling sixteen rules takes longer than answering them for the few customers of a pass, so the instant, the
figures of the population and the customer stay open in the compiled statements.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BigIntegerField, Case, QuerySet, Value, When
from django.db.models.expressions import RawSQL

from customers.models import Customer

from .evaluation.context import shop_zone
from .evaluation.matching import existing_customers
from .models import Segment
from .rules import EvaluationContext, LateParam, Needed, Rule, parse, placeholder_context
from .rules.flips import first_seen

SEGMENTS_AT_ONCE = 60  # bits of one signed integer, with room to spare
MOST_KEPT = 100
MOST_QUERIES = 200  # of one compound statement; SQLite takes up to 500

Sql = tuple[str, list[Any]]

_WHOLE = BigIntegerField()
_CUSTOMER = object()  # stands in the place of the one customer that a statement is about


@dataclass(frozen=True)
class Statement:
    """SQL, with parameters of which some are open: they stand in blank forms of a shop at an instant."""

    sql: str
    params: tuple[Any, ...]
    placeholders: tuple[EvaluationContext, ...]

    def filled(self, *contexts: EvaluationContext, customer: int | None = None) -> Sql:
        """Give the statement for shops in the place of the forms."""
        placeholders = dict(zip(self.placeholders, contexts, strict=True))
        params = [
            param.filled(placeholders)
            if isinstance(param, LateParam)
            else customer
            if param is _CUSTOMER
            else param
            for param in self.params
        ]
        return self.sql, params


class Questions:
    """The questions of some segments at once; the answer of each is a bit, in the order in which they are given."""

    def __init__(self, rules: Sequence[Rule], zone: ZoneInfo) -> None:
        self.rules, self.zone = rules, zone
        self._statements: dict[tuple[str, str], Statement] = {}

    @cached_property
    def needed(self) -> list[list[Needed]]:
        """Name the figures that each of them asks for."""
        return [[one for condition in rule.conditions() for one in condition.needed()] for rule in self.rules]

    def of_everybody(self, context: EvaluationContext) -> Sql:
        """Ask for everybody's customer key, bits, and 1 for who is known."""
        return self._asked(context, "", lambda customers: customers).filled(context)

    def of_those_in(self, table: str, context: EvaluationContext) -> Sql:
        """Ask the same of the customers in a table."""
        among = RawSQL(f"SELECT customer_id FROM {table}", ())
        return self._asked(context, table, lambda customers: customers.filter(pk__in=among)).filled(context)

    def of_one(self, customer: int, context: EvaluationContext) -> Sql:
        """Ask the same of one customer."""
        one = RawSQL("%s", (_CUSTOMER,))
        asked = self._asked(context, "one", lambda customers: customers.filter(pk=one))
        return asked.filled(context, customer=customer)

    def _asked(
        self,
        context: EvaluationContext,
        whom: str,
        choose: Callable[[QuerySet[Customer]], QuerySet[Customer]],
    ) -> Statement:
        kept = self._statements.get((context.facts, whom))
        if kept is None:
            placeholder = placeholder_context(self.zone, context.facts)
            bits = (
                Case(When(rule.q(placeholder), then=Value(1 << place)), default=Value(0), output_field=_WHOLE)
                for place, rule in enumerate(self.rules)
            )
            known = Case(
                When(Customer.objects.known_q(), then=Value(1)), default=Value(0), output_field=_WHOLE
            )
            asked = choose(existing_customers(placeholder)).values_list("pk", reduce(add, bits), known)
            kept = self._statements[context.facts, whom] = Statement(*_compiled(asked), (placeholder,))
        return kept

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[Sql]:
        """Name the customers whose answers can differ though nothing was recorded, and those who begin to exist."""
        return [statement.filled(since, until) for statement in self._flips]

    @cached_property
    def _flips(self) -> list[Statement]:
        since, until = placeholder_context(self.zone), placeholder_context(self.zone)
        queries = first_seen(since, until)
        for rule in self.rules:
            for condition in rule.conditions():
                queries += condition.may_flip(since, until)
        distinct = list(dict.fromkeys(_all_compiled(queries)))
        return [
            Statement(
                " UNION ALL ".join(sql for sql, _ in part),
                tuple(param for _, params in part for param in params),
                (since, until),
            )
            for start in range(0, len(distinct), MOST_QUERIES)
            if (part := distinct[start : start + MOST_QUERIES])
        ]


def _all_compiled(queries: Iterable[QuerySet[Any]]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    for query in queries:
        try:
            yield _compiled(query)
        except EmptyResultSet:
            continue


def _compiled(query: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    sql, params = query.query.get_compiler(connection=connection).as_sql()
    return sql, tuple(params)


_kept: OrderedDict[tuple[str, ...], Questions] = OrderedDict()


def of(segments: Sequence[Segment]) -> Questions:
    """Give the questions of segments as their rules are now; raises RuleError where one cannot be read."""
    zone = shop_zone()
    key = (connection.vendor, zone.key, *(json.dumps(segment.rule) for segment in segments))
    if key not in _kept:
        _kept[key] = Questions([parse(segment.rule) for segment in segments], zone)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return _kept[key]
