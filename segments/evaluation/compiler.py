"""Rules of several segments, compiled to SQL and cached.

Compiling sixteen rules takes longer than evaluating them for the few candidates of a refresh. So a statement is
compiled once, and its instant, statistics and customer are filled in for each execution.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BigIntegerField, Case, QuerySet, Value, When
from django.db.models.expressions import RawSQL

from core.db.literals import Template
from core.db.sql import Sql, union_all
from customers.facts import relations
from customers.models import Customer, CustomerQuerySet
from segments.rules import EvaluationContext, LateParam, Rule, Statistic, placeholder_context
from segments.rules.late_params import LateInstant
from segments.rules.time_changes import first_seen_in_window

from .context import shop_zone
from .expansion import ExpandedRule
from .matching import existing_customers, sum_in_pairs

MAX_RULES_PER_STATEMENT = 60  # each is one bit of a signed 64-bit integer
MAX_CACHED_RULE_SETS = 100
MAX_QUERIES_PER_UNION = 200  # SQLite allows 500

_INTEGER = BigIntegerField()
_CUSTOMER = object()  # a parameter that stands for one customer
_REFERENCE = '= ("customers_customer"."id")'  # of a sub-select to the customer around it, as Django writes it


@dataclass(frozen=True)
class CompiledStatement:
    """SQL whose late parameters belong to placeholder contexts."""

    sql: Sql
    placeholders: tuple[EvaluationContext, ...]

    def filled(self, *contexts: EvaluationContext) -> Sql:
        """Return the statement with these contexts for its placeholders, in their order."""
        replacements = dict(zip(self.placeholders, contexts, strict=True))
        return Sql(
            self.sql.text,
            tuple(
                param.filled(replacements) if isinstance(param, LateParam) else param
                for param in self.sql.params
            ),
        )


class CompiledRules:
    """The rules of several segments in one statement. Each answer is one bit, in the order of the rules.

    Queries of answers select the customer's key, the bits, and 1 for a known customer.
    """

    def __init__(self, rules: Sequence[Rule], zone: ZoneInfo) -> None:
        self.rules, self.zone = rules, zone
        self._statements: dict[tuple[str, str], CompiledStatement] = {}
        self._of_customer: dict[str, tuple[Template, EvaluationContext]] = {}
        self._flips: dict[str, list[CompiledStatement]] = {}

    @cached_property
    def statistics(self) -> list[list[Statistic]]:
        """The population statistics that each rule needs."""
        return [rule.statistics() for rule in self.rules]

    def all_answers_sql(self, context: EvaluationContext) -> Sql:
        """Return the query of the answers of all customers."""
        return self._answers(context, "", lambda customers: customers).filled(context)

    def table_answers_sql(self, table: str, context: EvaluationContext) -> Sql:
        """Return the query of the answers of the customers in a table."""
        keys = RawSQL(f"SELECT customer_id FROM {table}", ())
        return self._answers(context, table, lambda customers: customers.filter(pk__in=keys)).filled(context)

    def customer_answers_sql(self, customer: int, context: EvaluationContext) -> Sql:
        """Return the query of one customer's answers.

        With the stored facts, it also returns a row with the bits -1 if they do not hold for this customer then.
        """
        compiled = self._of_customer.get(context.facts)
        if compiled is None:
            key = RawSQL("%s", (_CUSTOMER,))
            statement = self._answers(context, "customer", lambda customers: customers.filter(pk=key))
            [placeholder], sql = statement.placeholders, _name_customer(statement.sql)
            if context.facts == "facts":
                its = Sql("customer_id = %s", (_CUSTOMER,))
                sql = union_all([sql, relations.waiting_sql(its, placeholder.at)])
            compiled = self._of_customer[context.facts] = Template(sql, _key_of_open), placeholder
        template, placeholder = compiled
        replacements = {placeholder: context}
        return template.filled(lambda param: customer if param is _CUSTOMER else param.filled(replacements))

    def _answers(
        self,
        context: EvaluationContext,
        scope: str,
        restrict: Callable[[QuerySet[Customer]], QuerySet[Customer]],
    ) -> CompiledStatement:
        statement = self._statements.get((context.facts, scope))
        if statement is None:
            placeholder = placeholder_context(self.zone, context.facts)
            bits = [
                Case(
                    When(rule.q(placeholder), then=Value(1 << place)), default=Value(0), output_field=_INTEGER
                )
                for place, rule in enumerate(self.rules)
            ]
            customers = restrict(existing_customers(placeholder))
            answers = customers.values_list("pk", sum_in_pairs(bits), CustomerQuerySet.known_number())
            statement = CompiledStatement(_compile(answers), (placeholder,))
            self._statements[context.facts, scope] = statement
        return statement

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[Sql]:
        """Return queries of the customers whose answers can differ although nothing was recorded about them.

        They include the customers first seen between the two instants.
        """
        return [statement.filled(since, until) for statement in self.may_flip_statements(until.facts)]

    def may_flip_statements(self, facts: str) -> list[CompiledStatement]:
        """Return the statements of ``may_flip`` for contexts with a relation of facts."""
        if facts not in self._flips:
            self._flips[facts] = self._compile_flips(facts)
        return self._flips[facts]

    def _compile_flips(self, facts: str) -> list[CompiledStatement]:
        since, until = placeholder_context(self.zone, facts), placeholder_context(self.zone, facts)
        queries = first_seen_in_window(since, until)
        for rule in self.rules:
            queries += rule.may_flip(since, until)
        distinct = list(dict.fromkeys(_compile_nonempty(queries)))
        return [
            CompiledStatement(union_all(distinct[start : start + MAX_QUERIES_PER_UNION]), (since, until))
            for start in range(0, len(distinct), MAX_QUERIES_PER_UNION)
        ]


def _name_customer(sql: Sql) -> Sql:
    """Let sub-selects name the one customer instead of referring to the row around them.

    Where tables are distributed, one machine then answers: a reference does not tell which.
    """
    first, *others = sql.text.split(_REFERENCE)
    params = iter(sql.params)
    named = _with_params(first, params)
    for text in others:
        named += Sql("= %s", (_CUSTOMER,)) + _with_params(text, params)
    return named


def _with_params(text: str, params: Iterator[Any]) -> Sql:
    """Return a part of a statement with the next parameters."""
    return Sql(text, tuple(islice(params, text.count("%") - 2 * text.count("%%"))))


def _key_of_open(param: Any) -> Any:
    """Return what is equal for parameters with the same value; None for a parameter with a value of its own."""
    if isinstance(param, LateInstant):
        return param.identity
    return id(param) if param is _CUSTOMER or isinstance(param, LateParam) else None


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


def compile_rules(rules: Sequence[ExpandedRule]) -> CompiledRules:
    """Return the compiled rules, from the cache if possible."""
    zone = shop_zone()
    key = (connection.vendor, zone.key, *(one.text + one.asked_digest for one in rules))
    if key not in _cache:
        _cache[key] = CompiledRules([one.rule for one in rules], zone)
        while len(_cache) > MAX_CACHED_RULE_SETS:
            _cache.popitem(last=False)
    return _cache[key]
