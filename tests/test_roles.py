"""The roles of staff, and contact data, which not all of them see."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import resolve, reverse

from customers.facts import update
from customers.models import Customer
from segments.models import Segment
from segments.refresh.engine import refresh_segments

from .support import furnished_shop
from .support.admin_pages import PAGES
from .support.shop import customers, event_with, events, orders, segment

pytestmark = pytest.mark.django_db

ANNA = ("anna@example.org", "Anna", "Müller", "4930123456", "Berlin", "17 May", "Goethestr")
HIDDEN = (*ANNA, "1990-05", "May 17")
LOOKING = {
    "index", "password_change",
    "customers_customer_changelist", "customers_customer_change", "customers_customer_explain",
    "customers_customer_live", "customers_customer_people",
    "segments_segment_changelist", "segments_segment_change", "segments_segment_rule", "segments_segment_history",
    "segments_segment_changes", "segments_segment_versions", "segments_segment_compare",
    "segments_segment_members", "segments_segment_lifecycle", "segments_segment_flow",
    "segments_segment_retention", "segments_segment_over_time", "segments_segment_upcoming",
    "campaigns_campaign_changelist", "campaigns_campaign_segment", "campaigns_campaign_audience",
    "campaigns_campaign_change", "campaigns_campaign_preview", "campaigns_campaign_forecast",
    "campaigns_campaign_deliveries",
    "campaigns_couponpool_changelist", "campaigns_couponpool_change",
}  # fmt: skip
SEGMENTING = LOOKING | {
    "segments_segment_add", "segments_segment_delete", "segments_segment_from_template",
    "segments_segment_fixed_list", "segments_segment_freeze", "segments_segment_members_add",
    "customers_import_changelist", "customers_import_add", "customers_import_change",
    "campaigns_campaign_add", "campaigns_campaign_edit", "campaigns_campaign_start", "campaigns_campaign_stop",
    "campaigns_campaign_discard", "campaigns_campaign_checks",
    "campaigns_couponpool_add", "campaigns_couponpool_fill",
    "customers_suppression_changelist", "customers_suppression_add",
}  # fmt: skip
EVERYTHING = {page.view for page in PAGES}


@pytest.fixture
def shop() -> Segment:
    """Anna, of whom the shop knows all there is, in a segment that asks for it."""
    customers(
        "c1,anna@example.org,+49 30 123456,Anna,Müller,Berlin,1990-05-17,Goethestr. 1",
        header="customer_id,email,phone,first_name,last_name,city,birth_date,street",
    )
    orders("o1,c1,2026-03-01T10:00:00Z,50")
    event_with('{"sku": "s1", "first_name": "Anna", "note": "ask anna@example.org"}')
    events(f"m2,c1,,Product Viewed,{datetime.now(UTC).isoformat()}")
    update.update_facts()
    made = segment(
        "known",
        {
            "all": [
                {"contact": {"has": "email"}},
                {"contact": {"has": "phone"}},
                {"birthday": {"within_next": "366d"}},
                {"city": {"exists": True}},
                {"attribute": {"name": "street", "exists": True}},
            ]
        },
    )
    refresh_segments([made], datetime.now(UTC))
    furnished_shop.furnish_shop()
    return made


@pytest.fixture
def enter(shop: Segment) -> Callable[[str], Client]:
    """Logs one of the staff in."""
    return furnished_shop.logged_in_client


@pytest.mark.parametrize(
    ("role", "opened"), [("viewer", LOOKING), ("marketer", SEGMENTING), ("administrator", EVERYTHING)]
)
def test_each_role_opens_its_pages(role, opened, enter):
    client = enter(role)

    answers = {page.view: client.get(page.address).status_code for page in PAGES}

    assert {view for view, status in answers.items() if status == 200} == opened
    assert set(answers.values()) <= {200, 403}


@pytest.mark.parametrize("role", ["viewer", "marketer"])
def test_no_page_links_to_one_that_its_reader_may_not_open(role, enter):
    client = enter(role)
    links: dict[str, set[str]] = {}
    for page in PAGES:
        answer = client.get(page.address)
        if answer.status_code == 200:
            for link in re.findall(r'href="(/admin/[^"?#]*)', answer.content.decode()):
                links.setdefault(link, set()).add(page.view)
    views = {resolve(link).view_name: link for link in links}

    refused = {view: links[link] for view, link in views.items() if client.get(link).status_code == 403}

    assert refused == {}


def test_a_viewer_sees_no_contact_data_on_any_page(enter, subtests):
    client = enter("viewer")
    for page in PAGES:
        if page.view in LOOKING:
            with subtests.test(page.view):
                content = client.get(page.address).content.decode()
                assert not [told for told in HIDDEN if told in content]


def test_a_viewer_sees_no_contact_data_in_parts_that_come_later(enter):
    key = Customer.objects.get(customer_id="c1").pk

    for view in ("timeline", "explain"):
        address = reverse(f"admin:customers_customer_{view}", args=[key])
        content = enter("viewer").get(address, headers={"HX-Request": "true"}).content.decode()
        assert not [told for told in HIDDEN if told in content]


@pytest.mark.parametrize(
    ("rule", "answered"),
    [
        ({"known": {"is": True}}, True),
        ({"all": [{"known": {"is": True}}, {"city": {"is": "Berlin"}}]}, False),
        ({"attribute": {"name": "street", "contains": "Goethe"}}, False),
        ({"birthday": {"within_next": "366d"}}, False),
    ],
)
def test_a_viewer_finds_no_visitor_by_a_rule_on_contact_data(rule, answered, enter):
    address = reverse("admin:customers_customer_live")
    shown = {
        who: enter(who).get(address, {"rule": json.dumps(rule)}).context["look"]
        for who in ("viewer", "marketer")
    }

    assert len(shown["marketer"].rows) == 1
    assert len(shown["viewer"].rows) == answered
    assert ("contact data" in shown["viewer"].problem) != answered


def test_contact_data_is_suggested_to_those_who_may_see_it(enter):
    def suggested(who: str, kind: str) -> list[str]:
        query = {"of": kind, "name": "street"}
        address = reverse("admin:segments_segment_rule_suggestions")
        return [one["value"] for one in enter(who).get(address, query).json()["values"]]

    for kind, value in (("city", "Berlin"), ("attribute_value", "Goethestr. 1")):
        assert suggested("marketer", kind) == [value]
        assert suggested("viewer", kind) == []
    assert suggested("viewer", "event") == suggested("marketer", "event") != []


def test_a_viewer_sees_that_there_is_contact_data(enter):
    customer = Customer.objects.get(customer_id="c1")

    content = enter("viewer").get(reverse("admin:customers_customer_change", args=[customer.pk])).content

    for mask in ("A••• M•••", "a•••@•••", "••• 56", "B•••"):
        assert mask in content.decode()


def test_a_marketer_sees_contact_data(enter, shop):
    customer = Customer.objects.get(customer_id="c1")

    content = enter("marketer").get(reverse("admin:customers_customer_change", args=[customer.pk])).content

    assert [told for told in ANNA if told not in content.decode()] == []


def test_a_viewer_downloads_members_without_contact_data(enter, shop):
    response = enter("viewer").get(reverse("admin:segments_segment_members_csv", args=[shop.pk]))

    header, row = b"".join(response).decode().splitlines()
    assert header == "customer_id,entered_at"
    assert row.startswith("c1,")


@pytest.mark.parametrize(
    ("term", "finds"),
    [("c1", True), ("c", True), *((told, False) for told in ("anna@", "Anna", "mül", "+49"))],
)
def test_a_viewer_finds_nobody_by_contact_data(term, finds, enter, shop):
    client = enter("viewer")

    listed = client.get(reverse("admin:customers_customer_changelist"), {"q": term})
    members = client.get(reverse("admin:segments_segment_members", args=[shop.pk]), {"q": term})

    assert bool(listed.context["cl"].result_list) == finds
    assert bool(members.context["members"]) == finds
    assert "mail" not in listed.context["cl"].search_help_text


def test_ids_that_are_addresses_are_masked_too(enter, shop):
    customers("otto@example.org,otto@example.org")
    update.update_facts()
    client = enter("viewer")

    for term in ("", "otto@example.org", "ott"):
        listed = client.get(reverse("admin:customers_customer_changelist"), {"q": term}).content.decode()
        assert "otto@example.org" not in listed.replace(f'value="{term}"', "")
        assert (">o•••@•••<" in listed) == (term == "")


def test_the_api_returns_members_to_staff_who_may_see_contact_data(enter, shop):
    User.objects.get(username="viewer").user_permissions.add(
        Permission.objects.get(codename="view_membership")
    )

    assert enter("viewer").get("/api/v1/segments/known/members/").status_code == 403
    assert enter("marketer").get("/api/v1/segments/known/members/").status_code == 200


def test_staff_who_manage_staff_cannot_create_superusers(enter):
    client = enter("administrator")
    boss, viewer = (User.objects.get(username=name) for name in ("admin", "viewer"))
    wanted = {"username": "viewer", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    wanted |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}

    client.post(reverse("admin:auth_user_change", args=[viewer.pk]), wanted)
    viewer.refresh_from_db()
    assert not viewer.is_superuser
    assert viewer.date_joined.year == 2026  # the rest was saved
    assert client.post(reverse("admin:auth_user_change", args=[boss.pk]), wanted).status_code == 403
    assert client.post(reverse("admin:auth_user_password_change", args=[boss.pk]), {}).status_code == 403
