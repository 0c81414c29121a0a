"""The laws can fail: each catches a filter that is wrong in one way, and accepts the right one.

The filter is the example of CONTRIBUTING.md, whose code is run here as it is written there.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models import Count, Q, QuerySet
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from core.db.sql import Query
from segments.rules import Condition, EvaluationContext, Exposure, registry
from segments.rules.base import condition
from segments.rules.conditions import orders
from segments.rules.declarations import inline_param, param
from segments.rules.measures import aggregate_subquery, coalesce_zero
from segments.rules.operators import Number, Period
from segments.rules.time_changes import orders_in_window
from tests.support import oracle

from . import test_changes_ahead, test_may_flip, test_rules_agree_with_the_oracle
from .test_every_filter_is_known import complaints

pytestmark = pytest.mark.django_db

NAME = "cancelled_count"
# The first failure is enough: to make it smaller would take minutes.
searching = hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
    database=None,
    report_multiple_bugs=False,
)


def blocks() -> tuple[str, str]:
    """Return the code of the filter and of its oracle as CONTRIBUTING.md shows them."""
    page = (settings.BASE_DIR / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Add a filter\n")[2].partition("\n## ")[0]
    filter_code, oracle_code = re.findall("```python\n(.*?)```", section, re.DOTALL)
    return filter_code, oracle_code


@pytest.fixture
def example() -> Iterator[type[Condition]]:
    """Register the example, and make it known to the oracle, during a test."""
    filter_code, oracle_code = blocks()
    exec(filter_code, {**vars(orders)})
    exec(oracle_code, {**vars(oracle)})
    yield registry[NAME]
    registry.pop(NAME, None)
    oracle.FILTERS.pop(NAME, None)


def replace_by(wrong: type[Condition], right: type[Condition]) -> None:
    """Register a wrong filter instead of the right one."""
    del registry[NAME]
    condition(
        NAME,
        group=right.group,
        label=right.label,
        unit=right.unit,
        example=right.example,
        synonyms=right.synonyms,
    )(wrong)


def test_the_documented_example_obeys_the_laws(example: type[Condition]) -> None:
    assert complaints(registry, oracle.FILTERS) == []
    test_rules_agree_with_the_oracle.check_filter(NAME)
    test_may_flip.check_filter(NAME)
    test_changes_ahead.check_filter(NAME)


def test_a_filter_that_matches_the_wrong_customers_is_caught(example: type[Condition]) -> None:
    class AlsoRefunded(example):  # type: ignore[misc, valid-type]
        """How many orders were cancelled, by the time they were placed."""

        def value(self, context: EvaluationContext) -> Any:
            found = context.orders(counting=False).filter(status__in=["cancelled", "refunded"])
            return coalesce_zero(aggregate_subquery(found, Count("pk")))

    replace_by(AlsoRefunded, example)
    with pytest.raises(AssertionError):
        test_rules_agree_with_the_oracle.check_filter(NAME, searching)


def test_a_filter_whose_may_flip_misses_a_customer_is_caught(example: type[Condition]) -> None:
    class Forgetful(example):  # type: ignore[misc, valid-type]
        """How many orders were cancelled, by the time they were placed."""

        def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
            return orders_in_window(since, until)  # the period's beginning moves, too

    replace_by(Forgetful, example)
    with pytest.raises(AssertionError):
        test_may_flip.check_filter(NAME, searching)


def test_a_filter_that_forgets_its_borders_is_caught(example: type[Condition]) -> None:
    class Forgetful(example):  # type: ignore[misc, valid-type]
        """How many orders were cancelled, by the time they were placed."""

        def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
            return []

    replace_by(Forgetful, example)
    with pytest.raises(AssertionError):
        test_changes_ahead.check_filter(NAME, searching)


def test_a_filter_that_the_oracle_does_not_know_is_named(example: type[Condition]) -> None:
    del oracle.FILTERS[NAME]

    assert complaints(registry, oracle.FILTERS) == [
        "The filter cancelled_count is registered, but the oracle does not know it: "
        "add it to tests/support/oracle.py."
    ]


def test_a_word_that_the_oracle_does_not_know_is_named(example: type[Condition]) -> None:
    class WithShare(Condition):
        """How many orders were cancelled, by the time they were placed."""

        exposure = Exposure.OPEN
        number: Number = inline_param(Number)
        placed: Period | None = param(Period)

        def q(self, context: EvaluationContext) -> Q:
            return Q()

    replace_by(WithShare, example)
    words = ("before", "between", "on_or_after", "within_last")
    assert complaints(registry, oracle.FILTERS) == [
        *(
            f"The filter cancelled_count takes placed.{word}, which the oracle does not know."
            for word in words
        ),
        *(f"The oracle has cancelled_count take during.{word}, which the filter refuses." for word in words),
    ]
