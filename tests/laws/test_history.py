"""Each day of a history is what its rules match at the end of that day, asked of all customers."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.conf import settings as project_settings
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.rows.kinds import KINDS
from segments import segment_store
from segments.evaluation.context import context_at
from segments.evaluation.matching import customers_matching, public_ids
from segments.history.segment_history import compute_days
from segments.models import Segment
from segments.rules import parse
from tests.support import oracle
from tests.support import shop as in_database
from tests.support.histories import borders_of, referring
from tests.support.oracle_operators import Clock
from tests.support.shop_csv_files import read_csv
from tests.support.shop_in_database import imported_shop
from tests.support.strategies import SWEPT, conditions, instants, rules, shops, words
from tests.support.value_pools import ZONES

pytestmark = pytest.mark.django_db

DATA = Path(project_settings.BASE_DIR).parent / "shared" / "data"
SETS = {
    "rfm_orders": date(2006, 12, 30),
    "cdnow_sample": date(1998, 6, 30),
    "online_retail_dev": date(2011, 12, 9),
    "ecom_clickstream": date(2024, 6, 29),
}
"""The last days of real shops."""
RULES = 10  # a shop costs more than a rule
TODAY = datetime(2030, 1, 1, tzinfo=UTC)  # every record is of the past
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))


def check(
    shop: oracle.Shop, rules: Mapping[str, Any], first: date, days: int, zone: ZoneInfo, compared: set[int]
) -> None:
    """Compare each day with the oracle, and some days with the command that evaluates all customers."""
    with (
        override_settings(TIME_ZONE=zone.key),
        time_machine.travel(TODAY, tick=False),
        imported_shop(shop, zone),
    ):
        segments = [
            segment_store.save_segment(Segment(slug=slug, name=slug, rule=rule))
            for slug, rule in rules.items()
        ]
        before = matching(shop, rules, first - timedelta(days=1), zone)
        for number, (day, counts) in enumerate(
            compute_days(segments, first, first + timedelta(days=days - 1))
        ):
            assert day == first + timedelta(days=number)
            now = matching(shop, rules, day, zone)
            for slug, count in zip(rules, counts, strict=True):
                right = len(now[slug]), len(now[slug] - before[slug]), len(before[slug] - now[slug])
                assert (count.size, count.entered, count.left) == right, (day, slug, rules[slug])
            before = now
        for number in compared:
            day = first + timedelta(days=number % days)
            context = context_at(end_of(day, zone), asks_rules=True)
            for slug, those in matching(shop, rules, day, zone).items():
                assert set(public_ids(customers_matching(parse(rules[slug]), context))) == those


def end_of(day: date, zone: ZoneInfo) -> datetime:
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
    return midnight.astimezone(UTC) - timedelta(microseconds=1)


def matching(shop: oracle.Shop, rules: Mapping[str, Any], day: date, zone: ZoneInfo) -> dict[str, set[str]]:
    known = replace(shop, rules=dict(rules))
    past = oracle.Past(known, Clock(end_of(day, zone), zone), asks_rules=True)
    return {slug: oracle.evaluated(rule, past) for slug, rule in rules.items()}


def around(moment: datetime, place: int, back: int) -> Any:
    """Return the first day: some days before one on which a period of a rule starts or ends for a record."""

    def chosen(shop: oracle.Shop, several: Sequence[dict]) -> date:
        borders = borders_of(shop, several) or [moment]
        return (borders[place % len(borders)] - timedelta(days=back)).date()

    return chosen


rule = st.one_of(conditions(), rules(), words(SWEPT))
histories = {
    "shop": shops() | shops(min_people=6),
    "several": st.lists(rule, min_size=RULES, max_size=RULES),
    "referring_rules": st.tuples(referring("r0"), referring("r1", "n0")),
    "first": st.builds(around, instants(), st.integers(0, 2**16), st.integers(0, 4)),
    "days": st.integers(1, 8),
    "zone": st.sampled_from(ZONES),
    "compared": st.sets(st.integers(0, 7), max_size=1),
}


def check_drawn(shop, several, referring_rules, first, days, zone, compared):
    named = {f"r{number}": one for number, one in enumerate(several)}
    named |= {f"n{number}": one for number, one in enumerate(referring_rules)}
    check(shop, named, first(shop, several), days, zone, compared)


@settings(slowly, max_examples=15)
@given(**histories)
def test_each_day_of_a_history_agrees_with_the_oracle(**drawn):
    check_drawn(**drawn)


@pytest.mark.long
@settings(slowly, max_examples=1_700)  # of 12 rules each
@given(**histories)
def test_each_day_of_many_histories_agrees_with_the_oracle(**drawn):
    check_drawn(**drawn)


# -- Real shops


def check_set(name: str, days: int | None, compared: int | None) -> None:
    """Compare the last days of a real shop, or all, with the oracle: some of them, or each."""
    zone, last = ZoneInfo("UTC"), SETS[name]
    for kind in KINDS:
        if (file := DATA / name / f"{kind}.csv").exists():
            assert "refused 0" in in_database.command("import_csv", kind, file)
    known = read_csv(DATA / name, zone, end_of(last, zone))
    segment_store.install_templates()
    segments = list(Segment.objects.all())
    rules = {segment.slug: segment.rule for segment in segments}
    first = last - timedelta(days=days - 1) if days else min(one.met_at for one in known.people).date()
    all_days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    chosen = {last, *random.Random(name).sample(all_days, compared)} if compared else set(all_days)
    before: dict[str, set[str]] = {}
    for day, counts in compute_days(segments, first, last):
        if day in chosen:
            before = before or matching(known, rules, day - timedelta(days=1), zone)
            now = matching(known, rules, day, zone)
            for slug, count in zip(rules, counts, strict=True):
                right = len(now[slug]), len(now[slug] - before[slug]), len(before[slug] - now[slug])
                assert (count.size, count.entered, count.left) == right, (day, slug)
            before = now if not compared else {}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository")
@pytest.mark.parametrize("name", SETS)
def test_the_history_of_real_shops_agrees_with_the_oracle_on_some_days(name):
    check_set(name, days=90, compared=1)


@pytest.mark.long
@pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository")
@pytest.mark.parametrize("name", SETS)
def test_each_day_of_the_history_of_real_shops_agrees_with_the_oracle(name):
    check_set(name, days=None, compared=None)
