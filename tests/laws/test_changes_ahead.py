"""When answers change by themselves: at the first border at which the oracle returns another answer."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.models import Customer
from segments import segment_store
from segments.evaluation.context import context_at
from segments.evaluation.explanation import explain_each
from segments.evaluation.upcoming import find_upcoming
from segments.models import Change, Segment
from segments.refresh.engine import refresh_all
from segments.rules import parse
from tests.support import oracle
from tests.support.histories import borders_of, referring, spans_in
from tests.support.oracle_operators import Clock
from tests.support.shop_in_database import imported_shop
from tests.support.strategies import (
    SWEPT,
    conditions,
    groups,
    instants,
    rules,
    shops,
    swept,
    words,
)
from tests.support.value_pools import RECORDED_AT, ZONES

pytestmark = pytest.mark.django_db

RULES_AT_ONCE = 8  # a shop costs more than a rule
REFERRED = "r0"
FARTHEST = timedelta(days=400)
RECENT = {"last_activity": {"within_last": "30d"}}
WITHIN = (timedelta(days=1), timedelta(days=7), timedelta(days=90))
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))
Changes = dict[str, tuple[datetime, bool]]


def first_changes(rule: dict, shop: oracle.Shop, at: datetime, zone: ZoneInfo) -> Changes:
    """Return when each customer's answer first differs within 400 days, and whether they match then."""
    now = oracle.Past(shop, Clock(at, zone), asks_rules=True)
    matched = oracle.evaluated(rule, now.ahead(timedelta()))
    found: Changes = {}
    for later in moments_ahead(rule, shop, at, zone):
        for key in oracle.evaluated(rule, now.ahead(later - at)) ^ matched:
            found.setdefault(key, (later, key not in matched))
    return found


def moments_ahead(rule: dict, shop: oracle.Shop, at: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every instant at which the oracle's answer may change, and those a microsecond before and after."""
    asked = with_referred_rules(rule, shop)
    borders = set(borders_of(shop, [asked], zone))
    if "birthday" in str(asked):
        borders |= set(midnights(asked, at, zone))
    return sorted(border for border in borders if at < border <= at + FARTHEST)


def with_referred_rules(rule: Any, shop: oracle.Shop) -> Any:
    match rule:
        case {"in_segment": {"is": slug, "in": span}} if slug in shop.rules:
            return {"ahead": {"in": span, "rule": shop.rules[slug]}}
        case {"in_segment": {"is": slug}} if slug in shop.rules:
            return shop.rules[slug]
        case dict():
            return {name: with_referred_rules(value, shop) for name, value in rule.items()}
        case list():
            return [with_referred_rules(one, shop) for one in rule]
    return rule


def midnights(asked: dict, at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    clock = Clock(at, zone)
    spans = {timedelta(0), *spans_in(asked)}
    for n in range(1, 2 * FARTHEST.days + 2):
        midnight = clock.midnight(clock.today() + timedelta(days=n))
        for span in spans:
            yield midnight + span
            yield midnight + span - oracle.MICROSECOND


def check(
    shop: oracle.Shop, several: list[dict], referred: dict, at: datetime, within: timedelta, zone: ZoneInfo
) -> None:
    shop = replace(shop, rules={REFERRED: referred})
    with override_settings(TIME_ZONE=zone.key), imported_shop(shop, zone):
        segment_store.save_segment(Segment(slug=REFERRED, name=REFERRED, rule=referred))
        now = context_at(at)
        expected = [first_changes(rule, shop, at, zone) for rule in several]
        parsed = [parse(rule) for rule in several]
        for rule, changes in zip(several, expected, strict=True):
            upcoming = [
                (one.customer_id, one.at, one.change) for one in find_upcoming(parse(rule), now, within)
            ]
            assert upcoming == sorted(
                (
                    (key, later, "entered" if enters else "left")
                    for key, (later, enters) in changes.items()
                    if later <= at + within
                ),
                key=lambda one: (one[1], one[0]),
            ), rule
        for customer in Customer.objects.filter(now.existing_q()):
            for place, tree in enumerate(explain_each(parsed, customer, now)):
                first = expected[place].get(customer.customer_id, (None, None))[0]
                assert tree is not None
                assert tree.changes_at == first, (several[place], customer.customer_id)


SWEPT_RULES = st.one_of(words(SWEPT), groups(words(SWEPT)), conditions(), rules(), referring(REFERRED))
each = settings(slowly, max_examples=2)


def histories(rule: Any = SWEPT_RULES) -> dict[str, Any]:
    return {
        "shop": shops(min_people=6),
        "several": st.lists(rule, min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
        "referred": words(SWEPT) | rules(),
        "at": instants(),
        "within": st.sampled_from(WITHIN),
        "zone": st.sampled_from(ZONES),
    }


@settings(slowly, max_examples=6)
@given(**histories())
def test_each_answer_changes_first_when_the_oracle_says(shop, several, referred, at, within, zone):
    check(shop, several, referred, at, within, zone)


@pytest.mark.long
@settings(slowly, max_examples=1_000)
@given(**histories())
def test_each_answer_changes_first_when_the_oracle_says_in_many_histories(
    shop, several, referred, at, within, zone
):
    check(shop, several, referred, at, within, zone)


def check_filter(name: str, how: settings = each) -> None:
    """Check the borders of a filter with parameters by which time changes its answer."""
    moved = swept(oracle.FILTERS[name])
    assert moved is not None

    @how
    @given(**histories(words({name: moved})))
    def law(shop, several, referred, at, within, zone):
        check(shop, several, referred, at, within, zone)

    law()


@pytest.mark.parametrize("name", SWEPT)
def test_each_filter_changes_first_when_the_oracle_says(name):
    check_filter(name)


# -- A quiet week

WEEK = timedelta(days=7)
LEFT_TO_OTHERS = ("above", "below", "top_percent", "bottom_percent", "entered")
"""Words of statistics that time can move, and of the log."""


def live_through(
    shop: oracle.Shop, several: list[dict], referred: dict, at: datetime, zone: ZoneInfo
) -> None:
    """Let a week pass in which nothing is recorded, and compare the log with what was upcoming."""
    at = max(at, RECORDED_AT)
    with (
        override_settings(TIME_ZONE=zone.key),
        imported_shop(records_until(shop, at), zone, update_facts=False),
        time_machine.travel(at, tick=False) as clock,
    ):
        rules_by_slug = {REFERRED: referred} | {f"s{place}": rule for place, rule in enumerate(several)}
        for slug, rule in rules_by_slug.items():
            segment_store.save_segment(Segment(slug=slug, name=slug, rule=rule))
        refresh_all(at)
        upcoming = {
            slug: {
                (one.customer_id, one.at, one.change)
                for one in find_upcoming(parse(rule), context_at(at), WEEK)
            }
            for slug, rule in rules_by_slug.items()
        }
        began = Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        for instant in sorted({one[1] for changes in upcoming.values() for one in changes} | {at + WEEK}):
            for moment in (instant - oracle.MICROSECOND, instant):
                if moment > at:
                    clock.move_to(moment)
                    refresh_all(moment)
        for slug, expected in upcoming.items():
            first: dict[str, tuple[str, datetime, str]] = {}
            logged = Change.objects.filter(pk__gt=began, segment__slug=slug).order_by("pk")
            for change in logged.values_list("public_id", "at", "change"):
                first.setdefault(change[0], change)
            assert set(first.values()) == expected, rules_by_slug[slug]


def records_until(shop: oracle.Shop, at: datetime) -> oracle.Shop:
    """Leave out the records dated ahead: they would be recorded during the week."""
    people = [
        replace(
            person,
            first_seen=None if person.first_seen and person.first_seen > at else person.first_seen,
            orders=tuple(order for order in person.orders if order.placed_at <= at),
            events=tuple(event for event in person.events if event.occurred_at <= at),
        )
        for person in shop.people
    ]
    there = tuple(person for person in people if person.customer_id or person.events)
    keys = {person.key for person in there}
    members = {
        slug: {key: at for key, at in inside.items() if key in keys} for slug, inside in shop.members.items()
    }
    return replace(shop, people=there, members=members)


def is_told_by_time(rule: Any) -> bool:
    """Whether the rule compares with no statistic that time moves, and asks nothing of the log."""
    match rule:
        case dict():
            return not rule.keys() & set(LEFT_TO_OTHERS) and all(map(is_told_by_time, rule.values()))
        case list():
            return all(map(is_told_by_time, rule))
    return True


quiet_weeks = {
    "shop": shops(min_people=6),
    "several": st.lists(SWEPT_RULES, min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE).map(
        lambda several: [rule for rule in several if is_told_by_time(rule)]
    ),
    "referred": (words(SWEPT) | rules()).map(lambda rule: rule if is_told_by_time(rule) else RECENT),
    "at": instants(),
    "zone": st.sampled_from(ZONES),
}


@settings(slowly, max_examples=4)
@given(**quiet_weeks)
def test_after_a_quiet_week_the_log_holds_what_was_upcoming(shop, several, referred, at, zone):
    live_through(shop, several, referred, at, zone)


@pytest.mark.long
@settings(slowly, max_examples=500)
@given(**quiet_weeks)
def test_after_many_quiet_weeks_the_log_holds_what_was_upcoming(shop, several, referred, at, zone):
    live_through(shop, several, referred, at, zone)
