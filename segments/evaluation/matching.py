"""The customers that a rule matches in an evaluation context. Nothing is written."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet

from customers.models import Customer
from segments.rules import EvaluationContext, Rule

from .expansion import expand_rule


def customers_matching(rule: Rule, context: EvaluationContext) -> QuerySet[Customer]:
    """Return the customers a rule matches, each once, unordered."""
    return existing_customers(context).filter(expand_rule(rule, asks_rules=context.asks_rules).q(context))


def existing_customers(context: EvaluationContext) -> QuerySet[Customer]:
    """Return the customers first seen by the context's instant, unordered."""
    return Customer.objects.filter(context.existing_q()).order_by()


def public_ids(customers: QuerySet[Customer]) -> Iterable[str]:
    """Return the customers' public ids in their order."""
    return customers.order_by("customer_id").values_list("customer_id", flat=True)


def sum_in_pairs(numbers: Sequence[Any]) -> Any:
    """Return the sum of expressions. SQLite parses parentheses within one another only up to a depth."""
    middle = len(numbers) // 2
    return sum_in_pairs(numbers[:middle]) + sum_in_pairs(numbers[middle:]) if middle else numbers[0]
