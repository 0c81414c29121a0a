"""`history`: the size of a segment on each day of the past, by its present rule and from today's records."""

from datetime import UTC, datetime

import pytest
import time_machine
from django.core.management import CommandError
from django.test import override_settings

from customers.models import Customer
from segments import segment_store
from segments.models import Change, Segment
from tests.support import shop

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def today():
    with time_machine.travel(NOW, tick=False):
        yield


def history(slug: str, *arguments: str) -> list[str]:
    header, *rows = shop.command("history", slug, *arguments).splitlines()
    assert header == "day,size,entered,left"
    return rows


def test_the_days_before_a_segment_existed_have_its_size_and_who_came_and_went() -> None:
    shop.orders("o1,c1,2026-03-01T10:00Z,10", "o2,c2,2026-03-02T23:59:59.999999Z,10", "o3,c1,2026-03-04,10")
    shop.segment("buyers-of-two-days", {"last_order": {"within_last": "2d"}})

    assert history("buyers-of-two-days", "--since", "2026-02-28", "--until", "2026-03-06") == [
        "2026-02-28,0,0,0",
        "2026-03-01,1,1,0",
        "2026-03-02,2,1,0",
        "2026-03-03,1,0,1",  # c1 ordered on the morning of the first
        "2026-03-04,1,1,1",  # o3 is of midnight, so of the fourth; c2 ordered two days ago
        "2026-03-05,1,0,0",
        "2026-03-06,0,0,1",
    ]
    assert not Change.objects.exists()


def test_who_comes_and_goes_on_one_day_is_not_counted() -> None:
    shop.orders("o1,c1,2026-03-01T10:00Z,10")
    shop.segment("buyers-of-an-hour", {"last_order": {"within_last": "1h"}})

    assert history("buyers-of-an-hour", "--since", "2026-03-01", "--until", "2026-03-01") == [
        "2026-03-01,0,0,0"
    ]


def test_the_last_day_is_yesterday_by_default_and_at_the_latest() -> None:
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    assert history("buyers", "--since", "2026-03-13") == ["2026-03-13,0,0,0", "2026-03-14,0,0,0"]
    with pytest.raises(CommandError, match=r"^--until is at most yesterday, 2026-03-14: "):
        shop.command("history", "buyers", "--since", "2026-03-01", "--until", "2026-03-15")
    with pytest.raises(CommandError, match=r"^--since 2026-03-03 is after --until 2026-03-02"):
        shop.command("history", "buyers", "--since", "2026-03-03", "--until", "2026-03-02")
    with pytest.raises(CommandError, match=r"^--since is a day from 1970 on"):
        shop.command("history", "buyers", "--since", "0001-01-01")
    with pytest.raises(CommandError, match="'1 March' is not a day"):
        shop.command("history", "buyers", "--since", "1 March")
    with pytest.raises(CommandError, match="there is no segment 'sellers'"):
        shop.command("history", "sellers", "--since", "2026-03-01")


@override_settings(TIME_ZONE="Asia/Tokyo")
def test_a_day_ends_at_midnight_in_the_shops_time_zone() -> None:
    shop.orders("o1,c1,2026-03-01T14:59:59.999999Z,10", "o2,c2,2026-03-01T15:00:00Z,10")
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    assert history("buyers", "--since", "2026-03-01", "--until", "2026-03-02") == [
        "2026-03-01,1,1,0",
        "2026-03-02,2,1,0",
    ]


def test_other_segments_are_asked_by_their_present_rules_and_fixed_lists_by_their_members() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-02,10")
    shop.segment("buyers", {"order_count": {"at_least": 1}})
    segment_store.create_fixed_list("c2-alone", "c2 alone", [Customer.objects.get(customer_id="c2").pk], NOW)
    Segment.objects.filter(slug="buyers").update(is_active=False)
    shop.segment(
        "others", {"all": [{"in_segment": {"is": "buyers"}}, {"none": [{"in_segment": {"is": "c2-alone"}}]}]}
    )

    days = "--since", "2026-02-28", "--until", "2026-03-02"
    assert history("others", *days) == ["2026-02-28,0,0,0", "2026-03-01,1,1,0", "2026-03-02,1,0,0"]
    assert history("c2-alone", *days) == ["2026-02-28,0,0,0", "2026-03-01,0,0,0", "2026-03-02,1,1,0"]


def test_averages_are_those_of_the_day() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,20", "o3,c3,2026-03-02,90")
    shop.segment("above-average", {"total_spent": {"above": "average"}})

    assert history("above-average", "--since", "2026-03-01", "--until", "2026-03-02") == [
        "2026-03-01,1,1,0",  # c2 of 15
        "2026-03-02,1,1,1",  # c3 of 40
    ]


def test_records_that_wait_for_their_facts_count() -> None:
    shop.orders("o1,c1,2026-03-01,10", update_facts=False)
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    assert history("buyers", "--since", "2026-03-01", "--until", "2026-03-01") == ["2026-03-01,1,1,0"]
