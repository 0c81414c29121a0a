"""Masks have no holes: whatever a text column holds, no page shows contact data to who may not see any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import PeriodicTask

from campaigns.models import Campaign
from customers.admin import contact_data
from customers.facts import update
from customers.models import Customer, Event, IdentityLink, Import, RefusedMessage
from customers.privacy.masks import mask_looks
from segments.models import Endpoint, Segment
from segments.refresh.engine import refresh_all

from .support import furnished_shop
from .support.admin_pages import PAGES
from .support.shop import customers, event_with, events, orders, segment

pytestmark = pytest.mark.django_db

DOMAIN, NUMBER, DEEP = "leak.example", "4930901820", "Deepsecret"
APPS = {"customers", "segments", "campaigns", "admin"}
# What programs read: a text in their place is none that the application ever wrote.
READ_BY_PROGRAMS = {"digest", "prefix", "kind", "stored", "template", "password", "task", "codename", "model"}
PROPERTIES = {
    "note": "ask {0} or {1}",
    "url": "https://shop.example/?email={2}&tel=%2B{3}",
    "contacts": [{"customer_email": {"work": [DEEP]}}],
    "billingAddress": {"line": DEEP, "number": 77_310_422},
    "phone": 77_310_422,
    "recipient": {"name": DEEP},
}


def planted(text_of: str, length: int | None) -> str:
    """Two pieces of contact data, or one where there is no room for both."""
    both = f"x{text_of}@{DOMAIN} +{NUMBER}{text_of.zfill(4)[-4:]}"
    return both if length is None or length >= len(both) else f"x{text_of}@{DOMAIN}"[:length]


def text_columns(model: type[models.Model]) -> Iterator[Any]:
    """The columns that may hold any text."""
    for field in model._meta.local_concrete_fields:
        is_text = isinstance(field, models.CharField | models.TextField)
        is_free = not (field.choices or isinstance(field, models.SlugField) or field.primary_key)
        is_written = field.name not in READ_BY_PROGRAMS and "folded" not in field.name
        if is_text and is_free and is_written and (field.max_length or 999) >= len(f"x9999@{DOMAIN}"):
            yield field


def plant() -> set[str]:
    """Write contact data into every text column of every row; return the columns."""
    done = set()
    for model in apps.get_models():
        if not model._meta.managed or model._meta.app_label not in APPS:
            continue
        columns = [field for field in text_columns(model) if type(field).__name__ != "EncryptedField"]
        for number, row in enumerate(model._default_manager.order_by("pk")[:60]):
            values = {field.attname: planted(str(number), field.max_length) for field in columns}
            if values:
                model._default_manager.filter(pk=row.pk).update(**values)
                done |= {f"{model._meta.label}.{name}" for name in values}
    return done


@pytest.fixture
def viewer() -> Client:
    """Who may see every page there is, and no contact data."""
    user = User.objects.create(username="looking", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_").exclude(codename="view_contact_data")
    )
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def shop() -> None:
    """The furnished shop, in which every text is an address and a phone number."""
    customers(
        "c1,anna@example.org,+49 30 123456,Anna,Berlin", header="customer_id,email,phone,first_name,city"
    )
    orders("o1,c1,2026-03-01T10:00:00Z,50")
    event_with('{"sku": "s1"}')
    events(f"m2,c1,,Product Viewed,{datetime.now(UTC).isoformat()}")
    update.update_facts()
    segment("asking", {"event_count": {"event": f"x1@{DOMAIN}", "at_least": 1}})
    furnished_shop.furnish_shop()
    LogEntry.objects.create(
        user=User.objects.get(username="admin"),
        content_type=ContentType.objects.get_for_model(Segment),
        object_id=str(Segment.objects.all()[0].pk),
        action_flag=CHANGE,
    )
    told = json.dumps(PROPERTIES)
    for name, value in zip(
        "0123", (f"p@{DOMAIN}", f"+{NUMBER}1", f"p%40{DOMAIN}", f"{NUMBER}2"), strict=True
    ):
        told = told.replace(f"{{{name}}}", value)
    Event.objects.update(properties=json.loads(told))
    Customer.objects.update(attributes={f"k@{DOMAIN}": f"p@{DOMAIN}", "note": DEEP})
    planted_in = plant()
    assert {"customers.Event.name", "customers.Order.order_id", "customers.Order.coupon_code"} < planted_in
    assert {
        "campaigns.Delivery.reason",
        "campaigns.CouponPool.name",
        "segments.Change.public_id",
    } < planted_in
    RefusedMessage.objects.update(message=json.dumps({"type": "track", "properties": json.loads(told)}))


def addresses() -> Iterator[str]:
    """Every page, the parts that come later, the downloads, and the history of every kind of row."""
    yield from (page.address for page in PAGES)
    customer = Customer.objects.existing().order_by("pk").filter(events__isnull=False)[0].pk
    for view in ("timeline", "explain"):
        yield reverse(f"admin:customers_customer_{view}", args=[customer])
    for one in Segment.objects.all()[:20]:
        yield reverse("admin:segments_segment_rule", args=[one.pk])
        for view in ("members", "members_csv", "revenue", "overlap", "history", "versions"):
            yield reverse(f"admin:segments_segment_{view}", args=[one.pk])
    for panel in ("sales", "stages", "reach", "suggestions"):
        yield reverse(f"admin:campaigns_campaign_home_{panel}")
    for people in ("orders", "new-customers", "reachable", "under-limit"):
        yield reverse("admin:customers_customer_people", args=[people])
    for kind in ("event", "attribute", "property", "coupon", "source", "sku", "country"):
        yield f"{reverse('admin:segments_segment_rule_suggestions')}?of={kind}"
        yield f"{reverse('admin:segments_segment_rule_unknown_values')}?of={kind}&value=example.org"
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        for row in model._default_manager.order_by("pk")[:3]:
            for view in ("change", "history"):
                try:
                    yield reverse(f"admin:{name}_{view}", args=[row.pk])
                except NoReverseMatch:
                    continue
    yield f"{reverse('admin:search')}?s=a&extended"


def test_no_page_shows_contact_data_to_staff_who_may_not_see_it(shop, viewer, subtests):
    opened = 0
    for address in dict.fromkeys(addresses()):
        with subtests.test(address):
            answered = viewer.get(address, headers={"HX-Request": "true"} if "timeline" in address else {})
            if answered.status_code != 200:
                assert answered.status_code in (302, 403, 404)
                continue
            opened += 1
            parts = answered.streaming_content if answered.streaming else [answered.content]
            text = unquote(b"".join(parts).decode())
            told = [secret for secret in (DOMAIN, NUMBER, DEEP, "77310422", "anna@") if secret in text]
            assert told == []
    assert opened > 100
    assert {Campaign, Endpoint, Import, IdentityLink, PeriodicTask} <= set(admin.site._registry)


def test_the_search_of_the_sidebar_finds_pages_again_and_again(viewer):
    for _ in range(2):
        found = viewer.get(reverse("admin:search"), {"s": "customer"}).content.decode()
        assert reverse("admin:customers_customer_changelist") in found


def test_staff_who_may_see_contact_data_see_it(shop):
    listed = furnished_shop.logged_in_client("marketer").get(reverse("admin:customers_customer_changelist"))

    assert DOMAIN in listed.content.decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("anna@example.org", "a•••@•••"),
        ("ask anna.b+news@mail.example.org, please", "ask a•••@•••, please"),
        ("/cart?email=anna%40example.org&x=1", "/cart?email=a•••@•••&x=1"),
        ("müller@exämple.org", "m•••@•••"),
        ("＋49 30 123456", "••• 56"),
        ("call +49 (30) 12-34.56 now", "call ••• 56 now"),
        ("tel=%2B4930123456", "tel=••• 56"),
        ("+1234567", "+1234567"),  # seven digits are none
        ("+1234567890123456", "+1234567890123456"),  # nor are sixteen
        ("2026-03-01 05:12:44+00:00", "2026-03-01 05:12:44+00:00"),
        ("3 items @ 5.00", "3 items @ 5.00"),
    ],
)
def test_what_looks_like_contact_data_is_masked(text, shown):
    assert mask_looks(text) == shown


def test_a_phone_number_that_is_stored_is_masked_however_it_is_written(viewer):
    customers("c1,030 9018-20", "c2,+49309018200", header="customer_id,phone")
    orders("030 9018-20,c1,2026-03-01,10", "49309018200,c1,2026-03-01,10", "7654321,c1,2026-03-01,10")
    update.update_facts()
    key = Customer.objects.get(customer_id="c1").pk

    page = viewer.get(reverse("admin:customers_customer_change", args=[key])).content.decode()

    assert "9018" not in page
    assert "7654321" in page  # an id like any other


def test_staff_who_may_not_see_contact_data_cannot_search_ids_that_are_phone_numbers(viewer):
    customers(
        "+4930901820,", "030901820,030901820", "c3,", "49301112222,+49301112222", "0049303334444,+49303334444",
        header="customer_id,phone",
    )  # fmt: skip
    update.update_facts()
    address = reverse("admin:customers_customer_changelist")

    for term in (
        "+49", "+4930901820", "4930901820", "0309", "030901820", "4930111", "49301112222", "004930333", "4930333",
    ):  # fmt: skip
        assert not viewer.get(address, {"q": term}).context["cl"].result_list, term
    assert len(viewer.get(address, {"q": "c"}).context["cl"].result_list) == 1
    shown = viewer.get(address).content.decode()
    assert not [number for number in ("901820", "1112222", "3334444") if number in shown]


def test_a_file_of_members_whose_ids_are_phone_numbers_is_masked_line_by_line(viewer):
    customers(
        "49301112222,+49301112222,Anna", "49303334444,+49303334444,Ben", header="customer_id,phone,first_name"
    )
    everybody = segment("everybody", {"known": {"is": True}})
    refresh_all()
    page = reverse("admin:segments_segment_members_csv", args=[everybody.pk])

    for query in ("", "?columns=orders", "?columns=last_order&columns=orders"):
        response = viewer.get(page + query)
        lines = b"".join(response.streaming_content).decode().splitlines()
        assert len(lines) == 3, lines
        assert not [line for line in lines if "1112222" in line or "3334444" in line]


@pytest.mark.parametrize(
    ("properties", "shown"),
    [
        ({"email": {"work": ["a", "b"]}}, {"email": "•••"}),
        ({"shippingAddress": {"line": "Goethestr. 1"}}, {"shippingAddress": "•••"}),
        ({"order": [{"first-name": "Anna", "sku": "s1"}]}, {"order": [{"first-name": "•••", "sku": "s1"}]}),
        ({"customer": {"name": "Anna"}}, {"customer": "•••"}),
        ({"phone": 4930123456, "newsletter": True}, {"phone": "•••", "newsletter": True}),
        ({"capacity": 5, "price": 9.5, "email": ""}, {"capacity": 5, "price": 9.5, "email": ""}),
    ],
)
def test_a_property_named_like_contact_data_is_masked_with_everything_inside(properties, shown):
    request: Any = type("Request", (), {"user": AnonymousUser()})()

    assert contact_data.visible_properties(request, properties) == shown
