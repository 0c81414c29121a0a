"""Trends, revenue and overlaps of segments, their trends on the home page, and the health of refreshes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from core.db import execution
from segments import health, insights, segment_store
from segments.insights import Movement
from segments.lifecycle import editing
from segments.models import Change, DailyChangeCount, Refresh, Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_segments
from tests.support import shop
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

BUYERS = {"order_count": {"at_least": 1}}
RECENT = {"last_order": {"within_last": "30d"}}
KNOWN = {"known": {"is": True}}
PATIENCE = 5.0


@pytest.fixture
def recent() -> Segment:
    """Three who ordered of late; one left by time four days later, and one entered by an order the day after."""
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-02-16,20", "o3,c3,2026-03-02,30.5")
    shop.customers("c1,c1@example.org", "c4,c4@example.org")
    segment = shop.segment("recent", RECENT)
    refresh_segments(None, NOON)
    refresh_segments(None, NOON + days(4))
    shop.orders("o4,c4,2026-03-19T13:00:00Z,40")
    refresh_segments(None, NOON + days(5))
    segment.refresh_from_db()
    return segment


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def address(name: str, *args: object) -> str:
    return reverse(f"admin:segments_segment_{name}", args=args)


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def told(day: insights.SegmentDay) -> tuple[str, int, Mapping[str, int], Mapping[str, int]]:
    return f"{day.day:%m-%d}", day.size, day.entered, day.left


# -- Over time


def test_each_day_has_its_size_and_changes_by_cause(recent: Segment) -> None:
    assert [told(day) for day in insights.segment_days(recent, NOON + days(6), 30)] == [
        ("03-15", 3, {"initial": 3}, {}),
        ("03-16", 3, {}, {}),
        ("03-17", 3, {}, {}),
        ("03-18", 3, {}, {}),
        ("03-19", 2, {}, {"time": 1}),
        ("03-20", 3, {"activity": 1}, {}),
        ("03-21", 3, {}, {}),
    ]
    assert [told(day)[:2] for day in insights.segment_days(recent, NOON + days(6), 3)] == [
        ("03-19", 2), ("03-20", 3), ("03-21", 3),
    ]  # fmt: skip


def test_daily_counts_are_the_sums_of_changes(recent: Segment) -> None:
    refresh_segments([recent], NOON + days(5) + days(0.1))
    recent.rule = BUYERS
    segment_store.save_segment(recent)
    refresh_segments([recent], NOON + days(5) + days(0.2))

    counted: dict[tuple[Any, ...], int] = {}
    for change in Change.objects.all():
        key = change.segment_id, timezone.localdate(change.at), change.change, change.cause
        counted[key] = counted.get(key, 0) + 1
    columns = ("segment_id", "day", "change", "cause", "customers")
    assert {row[:4]: row[4] for row in DailyChangeCount.objects.values_list(*columns)} == counted
    assert counted[recent.pk, NOON.date() + days(5), "entered", "definition"] == 1


def test_two_refreshes_of_a_day_add_up() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    segment = shop.segment("recent", RECENT)
    refresh_segments(None, NOON)
    for n in (2, 3):
        shop.orders(f"o{n},c{n},2026-03-02,10")
        refresh_segments(None, NOON + days(0.01 * n))
    segment.refresh_from_db()

    [day] = insights.segment_days(segment, NOON, 30)
    assert told(day) == ("03-15", 3, {"initial": 1, "activity": 2}, {})


def test_a_segment_that_was_never_refreshed_has_no_days() -> None:
    assert insights.segment_days(shop.segment("recent", RECENT), NOON, 30) == []


def test_a_trend_has_a_week_and_a_month_without_the_first_refresh(recent: Segment) -> None:
    early = insights.segment_trends([recent], NOON + days(6))[recent.pk]
    assert early.sizes == (3, 3, 3, 3, 2, 3, 3)
    assert early.since_a_week is None
    assert early.month == Movement(entered=1, left=1)

    late = insights.segment_trends([recent], NOON + days(11))[recent.pk]
    assert late.since_a_week == 1
    assert late.week == Movement(entered=1, left=0)
    assert late.month == Movement(entered=1, left=1)


def test_trends_of_all_segments_need_one_statement(recent: Segment, django_assert_num_queries: Any) -> None:
    segment_store.install_templates()
    refresh_segments(None, NOON + days(6))
    segments = list(Segment.objects.all())
    with django_assert_num_queries(1):
        assert len(insights.segment_trends(segments, NOON + days(6))) == 17


# -- The members


def test_the_revenue_of_members_is_the_sum_of_their_orders(recent: Segment) -> None:
    revenue = insights.member_revenue(recent, PATIENCE)

    assert (revenue.members, revenue.buyers, revenue.orders) == (3, 3, 3)
    assert revenue.revenue == Decimal("80.5")
    assert revenue.shop_revenue == Decimal("100.5")
    assert revenue.per_order == revenue.per_member == Decimal("26.83")


def test_an_overlap_has_both_shares(recent: Segment) -> None:
    known = shop.segment("known", KNOWN)
    shop.segment("nobody", {"order_count": {"at_least": 9}})
    refresh_segments(None, NOON + days(6))
    recent.refresh_from_db()

    overlaps = insights.find_overlaps(recent, PATIENCE)
    assert overlaps.sample_size is None
    [overlap] = overlaps.overlaps
    assert (overlap.other, overlap.common) == (known, 2)
    assert overlap.share == pytest.approx(2 / 3)
    assert overlap.share_of_other == 1


def test_the_overlap_of_a_large_segment_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "SAMPLE_SIZE", 500)
    shop.customers(*(f"c{n},{'' if n % 4 else f'c{n}@example.org'}" for n in range(1000)))
    everybody, known = shop.segment("everybody", {"first_seen": {"ever": True}}), shop.segment("known", KNOWN)
    refresh_segments(None)
    everybody.refresh_from_db()

    overlaps = insights.find_overlaps(everybody, PATIENCE)
    assert overlaps.sample_size == pytest.approx(500, rel=0.1)
    [overlap] = overlaps.overlaps
    assert overlap.other == known
    assert overlap.common == pytest.approx(250, rel=0.2)


# -- Whether all is well


def test_a_verification_finds_a_segment_right_different_or_not_comparable(recent: Segment) -> None:
    assert health.verification_status(recent) is None

    verification.verify_all(datetime.now(UTC))
    found = health.verification_status(recent)
    assert found is not None
    assert found.state == "right"

    recent.memberships.all().delete()
    verification.verify_all(datetime.now(UTC))
    found = health.verification_status(recent)
    assert found is not None
    assert found.state == "different"

    recent.rule = BUYERS
    segment_store.save_segment(recent)
    verification.verify_all(datetime.now(UTC))
    found = health.verification_status(recent)
    assert found is not None
    assert (found.state, found.reason) == ("skipped", "edited since its refresh")


def test_a_missing_scheduled_refresh_is_late() -> None:
    assert health.refresh_health(NOON).is_late
    Refresh.objects.create(at=NOON, started_at=NOON, finished_at=NOON, state=Refresh.State.DONE)

    assert not health.refresh_health(NOON + days(1 / 1440)).is_late
    assert health.refresh_health(NOON + days(1 / 24)).is_late
    PeriodicTask.objects.filter(task=health.REFRESH_TASK).update(enabled=False)
    assert not health.refresh_health(NOON + days(1)).is_planned


# -- The pages


@pytest.mark.parametrize("name", ["change", "rule", "versions", "compare", "members", "revenue", "overlap"])
def test_every_page_of_a_segment_needs_a_permission_and_few_queries(
    name: str, recent: Segment, admin: Client, django_assert_max_num_queries: Any
) -> None:
    segment_store.install_templates()
    with django_assert_max_num_queries(25):
        assert admin.get(address(name, recent.pk)).status_code == 200
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger", is_staff=True))
    assert stranger.get(address(name, recent.pk)).status_code == 403


def test_the_page_of_a_segment_shows_its_days_as_chart_and_table(admin: Client) -> None:
    shop.orders(f"o1,c1,{(datetime.now(UTC) - days(3)).isoformat()},10")
    segment = shop.segment("recent", RECENT)
    refresh_segments(None, datetime.now(UTC) - days(2))

    response = admin.get(address("change", segment.pk))
    content = text(response)
    assert response.context["movements"].series[0].name == "Entered: first refresh"
    assert "first refresh 1" in content
    assert "not verified yet" in content
    assert response.context["period"] == 30
    assert admin.get(address("change", segment.pk), {"days": "90"}).context["period"] == 90
    assert admin.get(address("change", segment.pk), {"days": "²"}).context["period"] == 30


def test_the_pages_of_a_new_segment_and_a_fixed_list_show_their_state(admin: Client) -> None:
    new = shop.segment("new", RECENT)
    assert "The members follow at the next refresh" in text(admin.get(address("change", new.pk)))

    shop.customers("c1,c1@example.org")
    keys, _ = segment_store.find_customers(["c1"])
    friends = segment_store.create_fixed_list("friends", "Friends", keys, datetime.now(UTC))
    for name in ("change", "rule", "versions", "compare"):
        assert "A fixed list of customers" in text(admin.get(address(name, friends.pk)))


def test_panels_show_revenue_and_overlap(recent: Segment, admin: Client) -> None:
    shop.segment("known", KNOWN)
    refresh_segments(None, NOON + days(6))

    assert "80.50 EUR" in text(admin.get(address("revenue", recent.pk)))
    assert "67 %" in text(admin.get(address("overlap", recent.pk)))


def test_panels_that_take_too_long_say_so(
    recent: Segment, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "QUERY_SECONDS", 0.1)
    editing.set_up_lifecycle()
    # Two tables that never end, in front of the real ones for as long as this transaction lasts.
    endless("segments_membership", f"n AS customer_id, {recent.pk} + n % 2 AS segment_id")
    endless("customers_customer", "'' AS email, '' AS phone, NULL AS merged_into_id")

    assert "was stopped" in text(admin.get(reverse("admin:campaigns_campaign_home_stages")))
    for name in (
        "revenue",
        "overlap",
    ):  # the latter last: what SQLite interrupts while it writes, it rolls back whole
        assert "was stopped" in text(admin.get(address(name, recent.pk)))


def endless(table: str, columns: str) -> None:
    execution.execute(
        f"""CREATE TEMPORARY VIEW {table} AS
            WITH RECURSIVE ever (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM ever) SELECT {columns} FROM ever"""
    )


def test_the_home_page_shows_the_trends_of_segments(
    admin: Client, django_assert_max_num_queries: Any
) -> None:
    shop.orders(f"o1,c1,{(datetime.now(UTC) - days(1)).isoformat()},10")
    segment_store.install_templates()
    refresh_segments(None)
    shop.orders(f"o2,c2,{(datetime.now(UTC) - days(1)).isoformat()},10")
    refresh_segments(None)

    with django_assert_max_num_queries(25):
        response = admin.get(reverse("admin:index"))
    groups = {row.segment.slug: row for row in response.context["groups"]}
    assert groups["first-time-buyers"].trend.week == Movement(entered=1, left=0)
    assert "Everything is up to date" in text(response)


def test_the_home_page_shows_problems(admin: Client) -> None:
    shop.orders("o1,c1,2026-03-01,10")
    broken = shop.segment("broken", RECENT)
    refresh_segments(None)
    Refresh.objects.update(started_at=datetime.now(UTC) - days(1))
    Segment.objects.filter(pk=broken.pk).update(rule={"gone": {}})
    refresh_segments([broken], datetime.now(UTC))
    Refresh.objects.update(started_at=datetime.now(UTC) - days(1))

    content = text(admin.get(reverse("admin:index")))
    assert "Segments are as of 24 hours ago" in content
    assert "The next refresh is late: the latest started 24 hours ago" in content
    assert "The segment “Broken” cannot be refreshed" in content

    PeriodicTask.objects.filter(task=health.REFRESH_TASK).update(enabled=False)
    assert "No refresh is scheduled" in text(admin.get(reverse("admin:index")))


def test_history_shows_no_customers_without_the_permission(recent: Segment) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_segment"))
    client = Client()
    client.force_login(viewer)

    content = text(client.get(address("versions", recent.pk)))
    assert "Recent refreshes" in content
    assert "Recent changes" not in content
