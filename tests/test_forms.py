"""Every form of the admin is filled in and sent, and one of every kind is deleted while it is in use: never a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from campaigns.models import Campaign, CouponPool
from core.api import keys
from customers.facts import update
from segments.models import Endpoint, Segment

from .support import furnished_shop
from .support.admin_pages import PAGES, by_rule
from .support.html_forms import Form, forms_of
from .support.shop import customers, orders, segment

pytestmark = pytest.mark.django_db

# What a person writes where anything else than "something" is asked for.
WRITTEN: dict[str, dict[str, Any]] = {
    "segments_segment_add": {"slug": "of-a-form", "rule": '{"known": {"is": true}}'},
    "campaigns_couponpool_add": {"last_day": "2030-12-01"},
    "segments_endpoint_add": {"url": "https://1.1.1.1/hooks", "every_segment": "on"},
    "core_apikey_add": {"scopes": ["segments:read"], "networks": "", "expires_at_0": "", "expires_at_1": ""},
    "django_celery_beat_clockedschedule_add": {"clocked_time_0": "2026-12-01", "clocked_time_1": "12:00"},
    "django_celery_beat_crontabschedule_add": {"timezone": "UTC"},
    "django_celery_beat_intervalschedule_add": {"every": "7"},
    "django_celery_beat_solarschedule_add": {"latitude": "52", "longitude": "13"},
    "django_celery_beat_periodictask_add": {
        "task": "segments.tasks.refresh", "regtask": "", "crontab": "", "solar": "", "clocked": "",
        "args": "[]", "kwargs": "{}", "headers": "{}",
        **dict.fromkeys(("expires_0", "expires_1", "expire_seconds", "queue", "exchange", "routing_key"), ""),
        **dict.fromkeys(("priority", "start_time_0", "start_time_1"), ""),
    },
}  # fmt: skip
# Asked for elsewhere, step by step.
NOT_BY_A_FORM = {"customers_import_add", "campaigns_campaign_add"}


@pytest.fixture
def client() -> Client:
    """The owner of a furnished shop."""
    customers("c1,anna@example.org")
    orders("o1,c1,2026-03-01T10:00:00Z,50")
    update.update_facts()
    segment("buyers", {"order_count": {"at_least": 1}})
    furnished_shop.furnish_shop()
    segment("referring", {"in_segment": {"is": "buyers"}})
    return furnished_shop.logged_in_client("admin", raise_request_exception=True)


def page_of(client: Client, address: str) -> str:
    answered = client.get(address)
    assert answered.status_code == 200, address
    text: str = answered.content.decode()
    return text


def sent(client: Client, address: str, form: Form, values: dict[str, list[str]]) -> Any:
    """Send a form in a transaction that is taken back: the next form finds the shop as it was."""
    with transaction.atomic():
        answered = client.post(form.action or address, values)
        transaction.set_rollback(True)
    return answered


def kinds() -> Iterator[tuple[str, type[Model]]]:
    """Every kind of row that the admin knows, with the start of the names of its addresses."""
    for model in sorted(admin.site._registry, key=lambda one: one._meta.label):
        yield f"{model._meta.app_label}_{model._meta.model_name}", model


def test_every_add_form_creates_its_object(client, subtests):
    for name, model in kinds():
        address = reverse(f"admin:{name}_add")
        if f"{name}_add" in NOT_BY_A_FORM or client.get(address).status_code == 403:
            continue
        with subtests.test(name):
            [form] = [one for one in forms_of(page_of(client, address)) if one.saves]
            before = model._default_manager.count()
            with transaction.atomic():
                answered = client.post(address, form.filled(**WRITTEN.get(f"{name}_add", {})))
                after = model._default_manager.count()
                transaction.set_rollback(True)
            said = re.findall(r'class="[^"]*errorlist.*?</ul>', answered.content.decode(), re.DOTALL)
            assert after == before + 1, (answered.status_code, said)


def test_every_form_can_be_submitted_unchanged_and_filled_in(client, subtests):
    for page in PAGES:
        with subtests.test(page.view):
            address = page.address
            for form in forms_of(page_of(client, address)):
                if form.method != "post" or "logout" in form.action:
                    continue
                pressed: list[dict[str, str]] = [{}, *({name: value} for name, value in form.buttons)]
                for values in (form.filled(), *(form.as_it_stands(**button) for button in pressed)):
                    assert sent(client, address, form, values).status_code < 500, form.action


def test_every_change_form_accepts_the_values_it_shows(client, subtests):
    for name, model in kinds():
        rows = list(model._default_manager.order_by("pk")[:1])
        with subtests.test(name):
            for row in rows:
                address = reverse(f"admin:{name}_change", args=[row.pk])
                answered = client.get(address)
                for form in forms_of(answered.content.decode()) if answered.status_code == 200 else []:
                    if form.saves and len(form.values) > 1:  # else it shows, and asks nothing
                        assert sent(client, address, form, form.as_it_stands()).status_code == 302, address


def in_use() -> dict[str, tuple[Model, str]]:
    """One of every kind while it is in use, with what the refusal names, where it is refused."""
    task = PeriodicTask.objects.exclude(interval=None)[0]
    by_clock = PeriodicTask.objects.exclude(crontab=None)[0]
    return {
        "segments_segment": (Segment.objects.get(slug="buyers"), "referring"),
        "segments_segment of a campaign": (Segment.objects.get(slug="guests"), "Opening"),
        "auth_group": (Group.objects.get(name="Viewer"), "viewer"),
        "auth_user": (User.objects.get(username="admin"), "inactive"),
        "django_celery_beat_periodictask": (task, "Turn it off instead"),
        "django_celery_beat_intervalschedule": (task.interval, task.name),
        "django_celery_beat_crontabschedule": (by_clock.crontab, by_clock.name),
    }


def test_objects_in_use_are_not_deleted_and_the_reason_has_links(client, subtests):
    for name, (row, reason) in in_use().items():
        kind = name.split(" ")[0]
        delete, listed = reverse(f"admin:{kind}_delete", args=[row.pk]), reverse(f"admin:{kind}_changelist")
        ticked = {"action": "delete_selected", "_selected_action": row.pk}
        with subtests.test(name):
            for address, asked in ((delete, {}), (listed, ticked)):
                for confirmed in ({}, {"post": "yes"}):
                    answered = client.post(address, asked | confirmed, follow=True)
                    told = " ".join(answered.content.decode().split())
                    assert answered.status_code == 200
                    assert reason in told, (address, confirmed)
                    assert "cannot be deleted" in told
                    assert type(row)._default_manager.filter(pk=row.pk).exists()


def test_objects_of_every_other_model_are_deleted_or_protected(client, subtests):
    used = {name.split(" ")[0] for name in in_use()}
    for name, model in kinds():
        row = model._default_manager.order_by("pk").first()
        if name in used or row is None:
            continue
        with subtests.test(name):
            try:
                address = reverse(f"admin:{name}_delete", args=[row.pk])
            except NoReverseMatch:
                continue
            with transaction.atomic():
                shown = client.get(address)
                answered = client.post(address, {"post": "yes"})
                is_there = model._default_manager.filter(pk=row.pk).exists()
                transaction.set_rollback(True)
            assert shown.status_code in (200, 302, 403)
            assert (answered.status_code, is_there) in ((302, False), (403, True))
    assert {Campaign, CouponPool, Endpoint, CrontabSchedule, IntervalSchedule} <= set(admin.site._registry)
    assert by_rule().exists()


def test_the_api_names_the_campaign_that_uses_a_segment(client):
    secret = keys.create_key("A tool", ["segments:write"])[1]

    refused = client.delete("/api/v1/segments/guests/", headers={"Authorization": f"Bearer {secret}"})

    assert refused.status_code == 409
    assert "Opening" in refused.json()["message"]
    assert Segment.objects.filter(slug="guests").exists()
