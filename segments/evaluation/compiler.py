"""The rules of several segments compiled to SQL, and kept.

Compiling sixteen rules takes longer than evaluating them for the few candidates of a refresh. So the instant, the
statistics and the customer stay open in the compiled statements.
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

from core.db.sql import Sql, union_all
from customers.models import Customer, CustomerQuerySet
from segments.models import Segment
from segments.rules import EvaluationContext, LateParam, Rule, Statistic, parse, placeholder_context
from segments.rules.time_changes import first_seen_in_window

from .context import shop_zone
from .matching import existing_customers

MAX_RULES_PER_STATEMENT = 60  # bits of one signed integer, with room to spare
MAX_CACHED_RULE_SETS = 100
MAX_QUERIES_PER_UNION = 200  # of one compound statement; SQLite takes up to 500

_INTEGER = BigIntegerField()
_CUSTOMER = object()  # stands in the place of the one customer that a statement is about


@dataclass(frozen=True)
class CompiledStatement:
    """SQL whose late parameters belong to placeholder contexts."""

    sql: Sql
    placeholders: tuple[EvaluationContext, ...]

    def filled(self, *contexts: EvaluationContext, customer: int | None = None) -> Sql:
        """Return the statement for contexts in the places of the placeholders."""
        replacements = dict(zip(self.placeholders, contexts, strict=True))
        return Sql(
            self.sql.text,
            tuple(
                param.filled(replacements)
                if isinstance(param, LateParam)
                else customer
                if param is _CUSTOMER
                else param
                for param in self.sql.params
            ),
        )


class CompiledRules:
    """The rules of several segments in one statement; each answer is a bit, in the order of the rules.

    The queries of answers select the customer's key, the bits, and 1 for a known customer.
    """

    def __init__(self, rules: Sequence[Rule], zone: ZoneInfo) -> None:
        self.rules, self.zone = rules, zone
        self._statements: dict[tuple[str, str], CompiledStatement] = {}

    @cached_property
    def statistics(self) -> list[list[Statistic]]:
        """The statistics that each rule needs."""
        return [
            [one for condition in rule.conditions() for one in condition.statistics()] for rule in self.rules
        ]

    def all_answers_sql(self, context: EvaluationContext) -> Sql:
        """Return the query of everybody's answers."""
        return self._answers(context, "", lambda customers: customers).filled(context)

    def table_answers_sql(self, table: str, context: EvaluationContext) -> Sql:
        """Return the query of the answers of the customers in a table."""
        among = RawSQL(f"SELECT customer_id FROM {table}", ())
        return self._answers(context, table, lambda customers: customers.filter(pk__in=among)).filled(context)

    def customer_answers_sql(self, customer: int, context: EvaluationContext) -> Sql:
        """Return the query of one customer's answers."""
        one = RawSQL("%s", (_CUSTOMER,))
        answers = self._answers(context, "one", lambda customers: customers.filter(pk=one))
        return answers.filled(context, customer=customer)

    def _answers(
        self,
        context: EvaluationContext,
        whose: str,
        choose: Callable[[QuerySet[Customer]], QuerySet[Customer]],
    ) -> CompiledStatement:
        kept = self._statements.get((context.facts, whose))
        if kept is None:
            placeholder = placeholder_context(self.zone, context.facts)
            bits = (
                Case(
                    When(rule.q(placeholder), then=Value(1 << place)), default=Value(0), output_field=_INTEGER
                )
                for place, rule in enumerate(self.rules)
            )
            customers = choose(existing_customers(placeholder))
            answers = customers.values_list("pk", reduce(add, bits), CustomerQuerySet.known_number())
            kept = CompiledStatement(_compile(answers), (placeholder,))
            self._statements[context.facts, whose] = kept
        return kept

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[Sql]:
        """Return queries of the customers whose answers can differ although nothing was recorded about them.

        Among them are those first seen between the two instants.
        """
        return [statement.filled(since, until) for statement in self._may_flip]

    @cached_property
    def _may_flip(self) -> list[CompiledStatement]:
        since, until = placeholder_context(self.zone), placeholder_context(self.zone)
        queries = first_seen_in_window(since, until)
        for rule in self.rules:
            for condition in rule.conditions():
                queries += condition.may_flip(since, until)
        distinct = list(dict.fromkeys(_compile_nonempty(queries)))
        return [
            CompiledStatement(union_all(distinct[start : start + MAX_QUERIES_PER_UNION]), (since, until))
            for start in range(0, len(distinct), MAX_QUERIES_PER_UNION)
        ]


def _compile_nonempty(queries: Iterable[QuerySet[Any]]) -> Iterable[Sql]:
    for query in queries:
        try:
            yield _compile(query)
        except EmptyResultSet:
            continue


def _compile(query: QuerySet[Any]) -> Sql:
    text, params = query.query.get_compiler(connection=connection).as_sql()
    return Sql(text, tuple(params))


_cache: OrderedDict[tuple[str, ...], CompiledRules] = OrderedDict()


def compile_rules(segments: Sequence[Segment]) -> CompiledRules:
    """Return the compiled rules of segments as they are now; raises RuleError if one cannot be parsed."""
    zone = shop_zone()
    key = (connection.vendor, zone.key, *(json.dumps(segment.rule) for segment in segments))
    if key not in _cache:
        _cache[key] = CompiledRules([parse(segment.rule) for segment in segments], zone)
        while len(_cache) > MAX_CACHED_RULE_SETS:
            _cache.popitem(last=False)
    return _cache[key]
