"""The flow between stages agrees with a plain-Python oracle, on random and on real shops."""

import csv
import io
from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as project_settings
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.rows.kinds import KINDS
from segments import segment_store, stages
from segments.models import Segment
from tests.support import oracle, oracle_flow, shop
from tests.support.oracle_operators import Words
from tests.support.shop_csv_files import read_csv
from tests.support.shop_in_database import imported_shop
from tests.support.strategies import rules, shops
from tests.support.value_pools import DATES, ZONES

pytestmark = pytest.mark.django_db

DATA = Path(project_settings.BASE_DIR).parent / "shared" / "data"
SETS = {
    "rfm_orders": (date(2006, 3, 31), date(2006, 12, 30)),
    "cdnow_sample": (date(1997, 6, 30), date(1998, 6, 30)),
    "online_retail_dev": (date(2011, 6, 30), date(2011, 9, 30)),
    "ecom_clickstream": (date(2024, 3, 31), date(2024, 6, 29)),
}
LIFECYCLE = {stage.slug: stage.rule for stage in stages.BUILT_IN_STAGES}
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))


def flow_of_command(since: date, until: date, *options: str) -> oracle_flow.Cells:
    sheet = csv.DictReader(io.StringIO(shop.command("flow", "--from", since, "--to", until, *options)))
    return {(row["from"], row["to"]): (int(row["customers"]), Fraction(row["revenue"])) for row in sheet}


def check_sums(
    cells: oracle_flow.Cells,
    asked: Mapping[str, Words],
    known: oracle.Shop,
    since: date,
    until: date,
    zone: ZoneInfo,
) -> None:
    """Rows sum to the sizes of the first day, columns to those of the last, and differences to entered less left."""
    before, after = (
        list(oracle_flow.stage_of_each(asked, known, oracle_flow.end_of_day(day, zone), zone).values())
        for day in (since, until)
    )
    for slug in asked:
        stays, _ = cells.get((slug, slug), (0, 0))
        left = sum(count for (source, _), (count, _) in cells.items() if source == slug) - stays
        entered = sum(count for (_, target), (count, _) in cells.items() if target == slug) - stays
        assert (left + stays, entered + stays) == (before.count(slug), after.count(slug))
        assert after.count(slug) - before.count(slug) == entered - left


def check(known: oracle.Shop, asked: list[Words], days: list[date], zone: ZoneInfo) -> None:
    since, until = days
    with override_settings(TIME_ZONE=zone.key), imported_shop(known, zone):
        named = {f"s{place}": rule for place, rule in enumerate(asked)}
        for slug, rule in named.items():
            segment_store.save_segment(Segment(slug=slug, name=slug, rule=rule))
        cells = flow_of_command(since, until, "--stages", ",".join(named))
        assert cells == oracle_flow.flow(named, known, since, until, zone)
        check_sums(cells, named, known, since, until, zone)


histories = {
    "known": shops(min_people=3),
    "asked": st.lists(rules(max_leaves=4), min_size=1, max_size=4),
    "days": st.tuples(st.sampled_from(DATES), st.sampled_from(DATES)).map(sorted),
    "zone": st.sampled_from(ZONES),
}


@settings(slowly, max_examples=10)
@given(**histories)
def test_the_flow_of_random_stages_over_random_shops(known, asked, days, zone):
    check(known, asked, days, zone)


@pytest.mark.long
@settings(slowly, max_examples=500)
@given(**histories)
def test_the_flow_of_many_random_stages_over_random_shops(known, asked, days, zone):
    check(known, asked, days, zone)


@settings(slowly, max_examples=6)
@given(known=shops(min_people=3), days=histories["days"], zone=histories["zone"])
def test_each_customer_is_in_exactly_one_of_the_built_in_stages(known, days, zone):
    since, until = days
    with override_settings(TIME_ZONE=zone.key), imported_shop(known, zone):
        cells = flow_of_command(since, until)
        assert cells == oracle_flow.flow(LIFECYCLE, known, since, until, zone)
        assert all(target != "-" for _, target in cells)
        existed = {
            person.key for person in known.people if person.met_at < oracle_flow.end_of_day(since, zone)
        }
        assert sum(count for (source, _), (count, _) in cells.items() if source != "-") == len(existed)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository")
@pytest.mark.parametrize("name", SETS)
def test_the_flow_of_real_shops(name: str) -> None:
    for kind in KINDS:
        if (file := DATA / name / f"{kind}.csv").exists():
            assert "refused 0" in shop.command("import_csv", kind, file)
    since, until = SETS[name]
    zone = ZoneInfo("UTC")
    known = read_csv(DATA / name, zone, oracle_flow.end_of_day(until, zone))
    for first, last in ((since, until), (until - timedelta(days=30), until)):
        cells = flow_of_command(first, last)
        assert cells == oracle_flow.flow(LIFECYCLE, known, first, last, zone)
        assert sum(count for count, _ in cells.values()) > 100
        check_sums(cells, LIFECYCLE, known, first, last, zone)
