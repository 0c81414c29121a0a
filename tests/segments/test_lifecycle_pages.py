"""The pages of the lifecycle: staff edit the stages, and each number of a flow leads to people."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from segments import segment_store, stages, tasks
from segments.lifecycle import editing, kept_flows
from segments.lifecycle.editing import StageEntry
from segments.models import LifecycleStage, Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

ASKED = ["anonymous", "lost", "lead", "lapsed", "first-order", "repeat-buyers"]
SHOWN = ["anonymous", "lead", "first-order", "repeat-buyers", "lapsed", "lost"]


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def anna() -> Staff:
    return Staff("anna")


def day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


@pytest.fixture
def lifecycle() -> None:
    """In the last 20 days, ben and cleo ordered for the first time; dora stayed a lead; eve came."""
    known = (f"{name},{name}@example.org,{day(40)}" for name in ("ben", "cleo", "dora"))
    shop.customers(*known, f"eve,eve@example.org,{day(5)}", header="customer_id,email,first_seen")
    shop.orders(f"o1,ben,{day(10)},30", f"o2,cleo,{day(12)},12.50")
    segment_store.install_templates()
    editing.set_up_lifecycle()
    refresh_all()


DAYS = {"since": day(20), "until": day(1)}


def get(staff: Staff, view: str, query: dict[str, str] | None = None) -> Any:
    return staff.client.get(reverse(f"admin:segments_segment_{view}"), query or DAYS)


def text(response: Any) -> str:
    assert response.status_code == 200, response
    return " ".join(unescape(response.content.decode()).split())


def links(content: str) -> dict[str, str]:
    """The URL of each cell of the matrix by its label."""
    found = re.findall(r'href="([^"]*flow/people/[^"]*)" aria-label="([^"]*)"', content)
    return {label: url for url, label in found}


# -- The flow


def test_each_number_of_the_matrix_leads_to_as_many_people(anna: Staff, lifecycle: None) -> None:
    content = text(get(anna, "flow_panel"))

    cells = links(content)
    assert set(cells) == {
        "2 from Leads to First order",
        "1 from Leads to Leads",
        "1 from New, or in no stage to Leads",
    }
    assert "42 EUR" in content
    for label, url in cells.items():
        rows = anna.client.get(url).context["rows"]
        assert len(rows) == int(label.split()[0])
    rows = anna.client.get(cells["2 from Leads to First order"]).context["rows"]
    assert [customer.customer_id for customer, _ in rows] == ["cleo", "ben"]


def cell(staff: Staff) -> str:
    return links(text(get(staff, "flow_panel")))["2 from Leads to First order"]


def test_a_cell_becomes_a_fixed_list(anna: Staff, lifecycle: None) -> None:
    response = anna.client.post(cell(anna), {"name": "New buyers", "do": "list"})

    listed = Segment.objects.get(name="New buyers")
    assert response["Location"] == reverse("admin:segments_segment_members", args=[listed.pk])
    assert not listed.is_dynamic
    assert shop.members(listed.slug) == ["ben", "cleo"]
    assert "Leads → First order" in listed.description


def test_a_cell_becomes_a_segment_of_those_who_are_still_there(anna: Staff, lifecycle: None) -> None:
    shop.orders(f"o3,ben,{day(0)},5")
    anna.client.post(cell(anna), {"name": "New buyers", "do": "segment"})
    refresh_all()

    segment = Segment.objects.get(name="New buyers, still there")
    assert shop.members(segment.slug) == ["cleo"]


def test_a_cell_becomes_a_campaign(anna: Staff, lifecycle: None) -> None:
    response = anna.client.post(cell(anna), {"name": "New buyers", "do": "campaign"})

    listed = Segment.objects.get(name="New buyers")
    assert response["Location"] == reverse("admin:campaigns_campaign_segment", args=[listed.pk])
    assert listed.size == 2


def test_a_name_is_needed_and_an_unknown_cell_is_not_found(anna: Staff, lifecycle: None) -> None:
    address = cell(anna)

    assert "This field is required" in text(anna.client.post(address, {"name": "", "do": "list"}))
    assert anna.client.get(address.replace("source=lead", "source=queen")).status_code == 404
    assert get(anna, "flow_people").status_code == 404


def test_a_flow_that_takes_too_long_is_computed_by_a_worker(
    anna: Staff, lifecycle: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_flows, "SYNC_SECONDS", 0)
    assert "A worker evaluates the stages" in text(get(anna, "flow_panel"))
    assert "A worker evaluates the stages" in text(get(anna, "flow_panel"))

    tasks.compute_flow(DAYS["since"], DAYS["until"])

    content = text(get(anna, "flow_panel"))
    assert "2 from Leads to First order" in links(content)
    monkeypatch.setattr(kept_flows, "WORKER_SECONDS", 0)
    tasks.compute_flow(day(30), day(1))
    assert "Use the command `flow`" in text(get(anna, "flow_panel", {"since": day(30), "until": day(1)}))


def test_a_flow_is_computed_again_when_a_rule_that_a_stage_asks_is_edited(
    anna: Staff, lifecycle: None
) -> None:
    buyers = shop.segment("buyers", {"order_count": {"at_least": 1}})
    shop.segment("customers", {"in_segment": {"is": "buyers"}})
    editing.replace_stages([StageEntry("customers")])
    assert "2 from New, or in no stage to Customers" in links(text(get(anna, "flow_panel")))

    buyers.rule = {"order_count": {"at_least": 0}}
    segment_store.save_segment(buyers)

    assert "3 from Customers to Customers" in links(text(get(anna, "flow_panel")))


def test_an_invalid_rule_of_a_stage_is_told(anna: Staff, lifecycle: None) -> None:
    Segment.objects.filter(slug="lead").update(rule={"unknown": {}})

    assert "The rule of a stage is invalid" in text(get(anna, "flow_panel"))
    tasks.compute_flow(DAYS["since"], DAYS["until"])


def test_days_that_are_not_offered_are_ignored_or_limited(anna: Staff, lifecycle: None) -> None:
    for query in ({"since": "soon"}, {"since": day(1), "until": day(9)}, {"until": "2199-01-01"}):
        days = get(anna, "flow", query).context["days"]
        assert days.since <= days.until <= datetime.now(UTC).date() - timedelta(days=1)
        text(get(anna, "flow_panel", query))


def test_a_reader_without_customers_sees_numbers_without_names(lifecycle: None) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.groups.set([Group.objects.get(name="Viewer")])
    client = Client()
    client.force_login(user)
    panel = text(client.get(reverse("admin:segments_segment_flow_panel"), DAYS))

    people = text(client.get(links(panel)["2 from Leads to First order"]))
    assert "ben@example.org" not in people
    assert "Make a fixed list" not in people
    address = links(panel)["2 from Leads to First order"]
    assert client.post(address, {"name": "Mine", "do": "list"}).status_code == 403


# -- The stages


def test_staff_order_the_stages_add_one_and_remove_one(anna: Staff, lifecycle: None) -> None:
    asked = ["lost", "anonymous", *ASKED[2:]]
    hero = Segment.objects.get(slug="hero")

    anna.send("segments_segment_lifecycle", asked=asked, shown=SHOWN[::-1], **{"band-lead": "waiting"})
    stored = stages.stored_stages()
    assert [stage.slug for stage in stored] == asked
    assert [stage.slug for stage in stages.in_shown_order(stored)] == SHOWN[::-1]
    assert [stage.band and stage.band.slug for stage in stored].count("waiting") == 1

    anna.send("segments_segment_lifecycle", asked=asked, shown=SHOWN, segment=hero.pk)
    anna.send("segments_segment_lifecycle", asked=[*asked, "hero"], shown=[*SHOWN, "hero"], remove="lead")
    assert [stage.slug for stage in stages.stored_stages()] == [
        *(slug for slug in asked if slug != "lead"),
        "hero",
    ]
    assert any("Stages of the lifecycle" in what for _, _, what in anna.activity())


def test_wrong_stages_change_nothing(anna: Staff, lifecycle: None) -> None:
    address = reverse("admin:segments_segment_lifecycle")

    assert "no segment 'queen'" in text(anna.client.post(address, {"asked": ["queen"]}))
    assert "at least one stage" in text(anna.client.post(address, {}))
    assert LifecycleStage.objects.count() == 6


# -- Retention


def month(ago: int, day_of_month: int = 10) -> str:
    first = datetime.now(UTC).date().replace(day=1)
    for _ in range(ago):
        first = (first - timedelta(days=1)).replace(day=1)
    return first.replace(day=day_of_month).isoformat()


@pytest.fixture
def returning() -> None:
    """Three first orders three months ago: ada comes back a month later, bob two months later, and cid never."""
    shop.orders(
        f"a1,ada,{month(3)},10",
        f"a2,ada,{month(2)},10",
        f"b1,bob,{month(3)},10",
        f"b2,bob,{month(1)},10",
        f"c1,cid,{month(3)},10",
        f"d1,dan,{month(2)},10",
    )


def triangle(response: Any) -> dict[str, tuple[int, list[int]]]:
    return {
        row.cohort.month.isoformat(): (row.cohort.size, [cell.count for cell in row.cells])
        for row in response.context["rows"]
    }


def test_cohorts_of_first_orders_count_who_ordered_in_each_later_month(anna: Staff, returning: None) -> None:
    response = get(anna, "retention_panel", {"segment": ""})

    assert triangle(response) == {month(3, 1): (3, [3, 1, 1, 0]), month(2, 1): (1, [1, 0, 0])}
    content = text(response)
    assert "33 %" in content
    for row in response.context["rows"]:
        for one in row.cells:
            if one.count:
                assert len(anna.client.get(one.url).context["rows"]) == one.count
    address = next(row.cells[1].url for row in response.context["rows"] if row.cohort.size == 3)
    anna.client.post(address, {"name": "Came back", "do": "list"})
    assert shop.members(Segment.objects.get(name="Came back").slug) == ["ada"]


def test_cohorts_of_a_segment_count_who_stayed_or_ordered(anna: Staff) -> None:
    shop.customers("eve,eve@example.org", "ida,ida@example.org")
    segment = shop.segment("recent", {"last_order": {"within_last": "40d"}})

    def refresh(ago: int, day_of_month: int) -> None:
        refresh_all(datetime.fromisoformat(f"{month(ago, day_of_month)}T12:00:00+00:00"))

    refresh(5, 1)
    shop.orders(f"e1,eve,{month(4)},10", f"i1,ida,{month(4)},10", f"i2,ida,{month(3)},10")
    for ago in (4, 3, 2, 1):
        refresh(ago, 11)
        refresh(ago, 25)

    stayed = get(anna, "retention_panel", {"segment": segment.slug, "measure": "members"})
    assert triangle(stayed) == {month(4, 1): (2, [2, 1, 0, 0, 0])}
    ordered = get(anna, "retention_panel", {"segment": segment.slug, "measure": "orders"})
    assert triangle(ordered) == {month(4, 1): (2, [2, 1, 0, 0, 0])}
    [row] = ordered.context["rows"]
    rows = anna.client.get(row.cells[1].url).context["rows"]
    assert [customer.customer_id for customer, _ in rows] == ["ida"]
    assert "Entered Recent in" in text(anna.client.get(row.url))


def test_a_cell_of_another_month_is_not_found(anna: Staff, returning: None) -> None:
    for query in (
        {},
        {"cohort": "1999-01-01"},
        {"cohort": month(2, 2)},
        {"cohort": month(2, 1), "later": "x"},
    ):
        assert get(anna, "retention_people", query or {"segment": ""}).status_code == 404
