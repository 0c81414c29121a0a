"""Charts of segments: what they show, and the lists of people behind their bars."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from core.admin.charts import Chart, Series
from segments.models import Segment
from segments.refresh.engine import refresh_segments
from tests.support import shop

pytestmark = pytest.mark.django_db

RECENT = {"last_order": {"within_last": "30d"}}


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def recent() -> Segment:
    """Two who were there at the first refresh, and one who entered by an order a day later."""
    now = datetime.now(UTC)
    shop.customers("c1,anna@example.org", "c2,ben@example.org", "c3,cleo@example.org")
    shop.orders(f"o1,c1,{(now - timedelta(days=5)).isoformat()},10")
    shop.orders(f"o2,c2,{(now - timedelta(days=5)).isoformat()},10")
    segment = shop.segment("recent", RECENT)
    refresh_segments(None, now - timedelta(days=2))
    shop.orders(f"o3,c3,{(now - timedelta(days=1, minutes=1)).isoformat()},10")
    refresh_segments(None, now - timedelta(days=1))
    segment.refresh_from_db()
    return segment


def overview(admin: Client, segment: Segment) -> Any:
    return admin.get(reverse("admin:segments_segment_change", args=[segment.pk]))


def bars(chart: Chart) -> dict[str, list[str]]:
    """Return where the bars of each series lead."""
    return {
        series["name"]: [link for link in series["links"] if link]
        for series in json.loads(chart.spec)["series"]
    }


def ids(response: Any) -> list[str]:
    return [customer.customer_id for _, customer, _ in response.context["rows"]]


def test_a_bar_leads_to_the_customers_who_entered_on_its_day_for_its_cause(
    admin: Client, recent: Segment
) -> None:
    links = bars(overview(admin, recent).context["movements"])

    assert links.keys() == {"Entered: recorded activity", "Entered: first refresh"}
    [activity] = links["Entered: recorded activity"]
    [initial] = links["Entered: first refresh"]
    assert ids(admin.get(activity)) == ["c3"]
    assert sorted(ids(admin.get(initial))) == ["c1", "c2"]
    assert "1 customer entered on" in " ".join(admin.get(activity).content.decode().split())


def test_the_table_beside_a_chart_leads_to_the_same_lists(admin: Client, recent: Segment) -> None:
    response = overview(admin, recent)
    content = response.content.decode()

    for links in bars(response.context["movements"]).values():
        for link in links:
            assert f'href="{link}"'.replace("&", "&amp;") in content


def test_the_list_is_of_the_days_the_kind_and_the_cause_that_are_asked_for(
    admin: Client, recent: Segment
) -> None:
    address = reverse("admin:segments_segment_changes", args=[recent.pk])

    assert sorted(ids(admin.get(address))) == ["c1", "c2", "c3"]
    assert ids(admin.get(address, {"change": "left"})) == []
    assert ids(admin.get(address, {"cause": "time"})) == []
    assert ids(admin.get(address, {"since": "2020-01-01", "until": "2020-01-31"})) == []
    assert len(ids(admin.get(address, {"change": "fled", "cause": "?", "since": "x", "before": "²"}))) == 3


def test_a_long_list_has_pages(admin: Client) -> None:
    shop.customers(*(f"c{number},c{number}@example.org" for number in range(60)))
    known = shop.segment("known", {"known": {"is": True}})
    refresh_segments(None)
    address = reverse("admin:segments_segment_changes", args=[known.pk])

    first = admin.get(address)
    second = admin.get(address + first.context["next"])

    assert len(ids(first)) == 50
    assert len({*ids(first), *ids(second)}) == 60
    assert "next" not in second.context


def test_the_list_masks_names_and_needs_the_permission_to_see_customers(recent: Segment) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__in=["view_segment", "view_customer"]))
    client = Client()
    client.force_login(viewer)
    address = reverse("admin:segments_segment_changes", args=[recent.pk])

    assert "anna@example.org" not in client.get(address).content.decode()

    viewer.user_permissions.set(Permission.objects.filter(codename="view_segment"))
    assert client.get(address).status_code == 403
    assert address not in overview(client, recent).content.decode()


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [([0, 5, 9], 0), ([400, 1000], 0), ([1000, 1000], 0), ([716, 850, 1002], 600), ([10_000, 10_090], 9970)],
)
def test_the_axis_of_a_line_starts_at_zero_or_says_where_it_is_cut(sizes: list[int], cut: int) -> None:
    assert Chart("line", "", ["a"] * len(sizes), [Series("Members", sizes)]).cut == cut
