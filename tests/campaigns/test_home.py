"""The home page: sales, stages, reach, suggestions, what waits, and the lists of people behind the numbers."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from campaigns import lifecycle
from campaigns.models import Campaign, Delivery, Step
from customers.models import Customer
from segments import health, segment_store
from segments.lifecycle import editing
from segments.lifecycle.editing import StageEntry
from segments.models import Segment
from segments.refresh.engine import refresh_segments
from tests.support import shop
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

PANELS = ("home_sales", "home_stages", "home_reach", "home_suggestions")
PEOPLE = (
    "anna,anna@example.org,Anna,subscribed",
    "ben,ben@example.org,Ben,subscribed",
    "cleo,cleo@example.org,Cleo,unsubscribed",
    "dora,dora@example.org,Dora,subscribed",
    "eve,eve@example.org,Eve,never",
)


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@pytest.fixture
def anna() -> Staff:
    return Staff("anna")


@pytest.fixture
def installed() -> None:
    """Five known customers and a visitor, each in another stage, with the ready-to-use segments."""
    header = "customer_id,email,first_name,newsletter,first_seen"
    shop.customers(*(f"{row},{ago(20)}" for row in PEOPLE), header=header)
    shop.orders(
        f"o1,anna,{ago(3)},10",
        f"o2,anna,{ago(10)},20.50",
        f"o3,ben,{ago(12)},30",
        f"o4,cleo,{ago(40)},5",
        f"o5,dora,{ago(100)},7",
    )
    properties = '"{""product_id"": ""lamp"", ""price"": 60, ""quantity"": 2}"'
    shop.events(
        f"m1,eve,,Product Added,{ago(0.1)},{properties}",
        f"m2,,browser,Page Viewed,{ago(1)},",
        header="message_id,customer_id,anonymous_id,event,occurred_at,properties",
    )
    shop.customers("eve,subscribed", header="customer_id,newsletter")
    segment_store.install_templates()
    editing.set_up_lifecycle()
    refresh_segments(None)


def panel(staff: Staff, name: str) -> str:
    response = staff.client.get(reverse(f"admin:campaigns_campaign_{name}"))
    assert response.status_code == 200
    return text(response)


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def home(staff: Staff) -> str:
    return text(staff.client.get(reverse("admin:index")))


def numbered_links(content: str) -> dict[str, str]:
    """Return where the numbers of a panel lead: the text of each link by its URL."""
    found = re.findall(r'<a[^>]*href="([^"]*/people/[^"]*)"[^>]*>([^<]*)</a>', content)
    return {unescape(url): words.strip() for url, words in found}


def people_of(staff: Staff, what: str, **query: str | int) -> list[str]:
    response = staff.client.get(reverse("admin:customers_customer_people", args=[what]), query)
    assert response.status_code == 200
    return [customer.customer_id for customer, _ in response.context["rows"]]


# -- Sales


def test_sales_are_compared_with_those_of_the_days_before(anna: Staff, installed: None) -> None:
    shop.orders(
        f"o6,ben,{ago(4)},1000,cancelled,0",
        f"o7,ben,{ago(5)},40,fulfilled,8",
        header="order_id,customer_id,placed_at,total,status,refunded_total",
    )

    content = panel(anna, "home_sales")

    assert "92 EUR" in content  # 10 + 20.50 + 30 + 40 − 8
    assert "+1,750 % against" in content  # than 5
    assert re.search(r"Last 7 days: <a[^>]*>42 EUR</a> \(−17 %\)", content)  # than 50.50


def test_a_customer_is_new_in_the_month_of_the_first_order(anna: Staff, installed: None) -> None:
    assert sorted(people_of(anna, "new-customers", days=30)) == ["anna", "ben"]
    assert people_of(anna, "new-customers", days=7) == []
    assert people_of(anna, "new-customers", days=30, before="on") == ["cleo"]


def test_orders_are_listed_with_who_placed_them(anna: Staff, installed: None) -> None:
    assert people_of(anna, "orders", days=30) == ["anna", "anna", "ben"]
    assert people_of(anna, "orders", days=7) == ["anna"]
    assert people_of(anna, "orders", days=30, before="on") == ["cleo"]
    assert people_of(anna, "orders", days=30, stage="repeat-buyers") == ["anna", "anna"]


# -- Stages


def test_each_customer_is_in_one_stage(anna: Staff, installed: None) -> None:
    shop.customers("fred,fred@example.org")
    shop.orders(f"p1,fred,{ago(70)},10")
    refresh_segments(None)

    stages = {
        slug: sorted(people_of(anna, "stage", stage=slug))
        for slug in ("anonymous", "lead", "first-order", "repeat-buyers", "lapsed", "lost", "-")
    }
    [visitor] = stages.pop("anonymous")

    assert visitor.startswith("anonymous:")
    assert stages == {
        "lead": ["eve"],
        "first-order": ["ben", "cleo"],
        "repeat-buyers": ["anna"],
        "lapsed": ["fred"],
        "lost": ["dora"],
        "-": [],
    }
    assert "In no stage" not in panel(anna, "home_stages")


def test_heroes_are_a_band_beside_the_repeat_buyers(anna: Staff, installed: None) -> None:
    shop.orders(*(f"h{n},ben,{ago(n)},500" for n in range(1, 5)))
    refresh_segments(None)

    assert "Heroes: 1" in panel(anna, "home_stages")


def test_one_segment_can_be_the_band_of_several_stages(anna: Staff, installed: None) -> None:
    shop.orders(*(f"h{n},ben,{ago(n)},500" for n in range(1, 5)))
    refresh_segments(None)
    editing.replace_stages([StageEntry("repeat-buyers", band="hero"), StageEntry("lost", band="hero")])

    content = panel(anna, "home_stages")
    assert (content.count("Heroes: 1"), content.count("Heroes: 0")) == (1, 1)


def test_the_revenue_of_a_month_is_shown_by_stage(anna: Staff, installed: None) -> None:
    content = panel(anna, "home_stages")

    links = numbered_links(content)
    orders = reverse("admin:customers_customer_people", args=["orders"])
    assert links[f"{orders}?days=30&stage=repeat-buyers"] == "30 EUR"
    assert "from 2 orders" in content
    assert f"{orders}?days=30&stage=lost" not in links


def test_who_is_in_no_stage_of_an_edited_lifecycle_is_counted_too(anna: Staff, installed: None) -> None:
    editing.replace_stages([StageEntry("anonymous"), StageEntry("lost"), StageEntry("first-order")])

    assert "In no stage" in panel(anna, "home_stages")
    assert sorted(people_of(anna, "stage", stage="-")) == ["anna", "eve"]


def test_a_button_sets_up_the_lifecycle(anna: Staff) -> None:
    shop.customers("eve,eve@example.org")
    segment_store.install_templates()

    content = home(anna)
    assert "Set up the lifecycle" in content
    anna.send("segments_segment_lifecycle_set_up", from_home="1")
    refresh_segments(None)

    assert "Set up the lifecycle" not in home(anna)
    assert people_of(anna, "stage", stage="lead") == ["eve"]


# -- Reach


def test_reach_leaves_out_who_has_no_consent_is_suppressed_or_has_got_enough(
    anna: Staff, installed: None, settings: Any
) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    anna.send("customers_suppression_add", email="ben@example.org")
    sale = Campaign(name="Sale", segment=Segment.objects.get(slug="newsletter-subscribers"))
    lifecycle.save_campaign(sale, [Step(subject="Sale", text="Hello")])
    now = datetime.now(UTC)
    Delivery.objects.create(
        campaign=sale,
        step=sale.steps.get(),
        customer=Customer.objects.get(customer_id="dora"),
        occasion="1",
        state=Delivery.State.SENT,
        planned_for=now,
        not_before=now,
        sent_at=now - timedelta(days=1),
    )

    assert sorted(people_of(anna, "reachable")) == ["anna", "dora", "eve"]
    assert sorted(people_of(anna, "under-limit")) == ["anna", "eve"]
    content = panel(anna, "home_reach")
    counts = re.findall(r'aria-label="(\d+) ([a-z]+)', content)
    assert counts == [("6", "customers"), ("5", "known"), ("3", "can"), ("2", "are")]


@pytest.mark.parametrize("name", ["home_sales", "home_stages", "home_reach"])
def test_every_number_leads_to_as_many_rows(name: str, anna: Staff, installed: None) -> None:
    links = numbered_links(panel(anna, name))

    assert links
    for url, words in links.items():
        rows = anna.client.get(url).context["rows"]
        if words.isdigit():
            assert len(rows) == int(words)


# -- Suggestions


def test_full_carts_without_a_campaign_are_suggested_and_lead_to_the_start_form(
    anna: Staff, installed: None
) -> None:
    content = panel(anna, "home_suggestions")
    assert ">1 full cart</a>" in content
    assert re.search(r"is worth <strong ?>120 EUR</strong>, and no campaign reminds of them", content)
    waiting = Segment.objects.get(slug="waiting")

    response = anna.client.post(
        reverse("admin:campaigns_campaign_segment", args=[waiting.pk]),
        {"tactic": "cart-recovery", "then": "start"},
        follow=True,
    )

    draft = Campaign.objects.get()
    start_form = reverse("admin:campaigns_campaign_start", args=[draft.pk])
    assert response.redirect_chain[-1][0] == start_form
    assert "Start the campaign" in text(response)
    assert start_form in panel(anna, "home_suggestions")  # no second draft

    anna.send("campaigns_campaign_action", draft.pk, action="start")
    assert "full cart" not in panel(anna, "home_suggestions")


def test_a_suggestion_needs_somebody_who_can_be_reached(anna: Staff, installed: None) -> None:
    shop.customers("eve,unsubscribed", header="customer_id,newsletter")

    assert "full cart" not in panel(anna, "home_suggestions")


def test_a_suggestion_does_not_count_suppressed_addresses(anna: Staff, installed: None) -> None:
    anna.send("customers_suppression_add", email=Customer.objects.get(customer_id="eve").email)

    assert "full cart" not in panel(anna, "home_suggestions")


def test_who_may_not_start_campaigns_gets_no_buttons(installed: None) -> None:
    viewer = in_role("Viewer")

    content = text(viewer.get(reverse("admin:campaigns_campaign_home_suggestions")))

    assert "full cart" in content
    assert "<form" not in content
    assert "Start cart recovery" not in content


# -- What waits, and the state


def test_what_waits_for_a_person_has_a_button(anna: Staff, installed: None) -> None:
    sale = Campaign(name="Summer sale", segment=Segment.objects.get(slug="lead"))
    lifecycle.save_campaign(sale, [Step(subject="Sale", text="Hello")])
    assert "The campaign “Summer sale” is a draft." in home(anna)

    lifecycle.start(sale, datetime.now(UTC))
    assert "Summer sale" not in home(anna)

    anna.send("campaigns_campaign_action", sale.pk, action="pause")
    content = home(anna)
    assert "The campaign “Summer sale” is paused and sends nothing." in content
    assert reverse("admin:campaigns_campaign_change", args=[sale.pk]) in content


def test_the_state_is_one_sentence_that_tells_more(anna: Staff, installed: None) -> None:
    assert "Everything is up to date" in home(anna)
    assert "The latest refresh of the segments started" in home(anna)

    PeriodicTask.objects.filter(task=health.REFRESH_TASK).update(enabled=False)
    content = home(anna)
    assert "Segments are not updated" in content
    assert reverse("admin:django_celery_beat_periodictask_changelist") in content
    assert "No refresh is scheduled" in text(in_role("Viewer").get(reverse("admin:index")))


def test_stages_stand_apart_from_groups_that_overlap(anna: Staff, installed: None) -> None:
    response = anna.client.get(reverse("admin:index"))

    assert [stage.slug for stage in response.context["stages"]] == [
        "anonymous",
        "lead",
        "first-order",
        "repeat-buyers",
        "lapsed",
        "lost",
    ]
    groups = {row.segment.slug for row in response.context["groups"]}
    assert {"hero", "waiting", "newsletter-subscribers"} <= groups
    assert not groups & {"anonymous", "lead", "first-order", "lost"}
    assert not {"lapsed", "repeat-buyers"} & {row.segment.slug for row in response.context["others"]}


def test_who_entered_and_left_the_stages_is_one_picture_that_leads_to_people(
    anna: Staff, installed: None
) -> None:
    shop.orders(f"o9,eve,{ago(0)},10")
    refresh_segments(None)

    rows = {row.segment.slug: row for row in anna.client.get(reverse("admin:index")).context["movements"]}

    assert (rows["lead"].left, rows["first-order"].entered) == (1, 1)
    for url in (rows["lead"].left_url, rows["first-order"].entered_url):
        [(_, customer, _)] = anna.client.get(url).context["rows"]
        assert customer.customer_id == "eve"


# -- Roles, cost


def in_role(name: str) -> Client:
    user = User.objects.create_user(name.lower(), is_staff=True)
    user.groups.set([Group.objects.get(name=name)])
    client = Client()
    client.force_login(user)
    return client


def test_a_viewer_sees_numbers_and_masked_names(installed: None) -> None:
    viewer = in_role("Viewer")

    for name in PANELS:
        assert viewer.get(reverse(f"admin:campaigns_campaign_{name}")).status_code == 200
    listed = text(viewer.get(reverse("admin:customers_customer_people", args=["reachable"])))
    assert "4 customers" in listed
    assert "anna@example.org" not in listed
    assert "Anna" not in listed


def test_panels_and_lists_need_permissions(installed: None) -> None:
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger", is_staff=True))

    for name in PANELS:
        assert stranger.get(reverse(f"admin:campaigns_campaign_{name}")).status_code == 403
    assert stranger.get(reverse("admin:customers_customer_people", args=["orders"])).status_code == 403


def test_an_unknown_list_or_stage_is_not_found(anna: Staff, installed: None) -> None:
    for what, query in (("nobody", {}), ("stage", {}), ("stage", {"stage": "queen"})):
        address = reverse("admin:customers_customer_people", args=[what])
        assert anna.client.get(address, query).status_code == 404


def test_the_page_and_its_panels_need_few_queries(
    anna: Staff, installed: None, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(25):
        home(anna)
    for name in PANELS:
        with django_assert_max_num_queries(22):  # on PostgreSQL, each time limit takes four
            panel(anna, name)
