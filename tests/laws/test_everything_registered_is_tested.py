"""What is registered is tested: each admin page, management command, scheduled task and endpoint of the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from celery import current_app
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import get_commands
from django.test import Client, RequestFactory
from django.urls import URLResolver, reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from drf_spectacular.generators import SchemaGenerator

from segments_project.schedules import SCHEDULES
from tests.api.test_limits import VALUES, doors
from tests.support import shop
from tests.support.admin_pages import PAGES, Page, staff
from tests.test_admin import PARTS

TESTS = Path(__file__).resolve().parents[1]
APPS = {"core", "customers", "segments", "campaigns", "segments_project"}

# Pages that are Django's own or seldom used: opened here, and neither photographed nor measured.
RARE_PAGES = (
    Page("auth_group_add"),
    Page("auth_user_delete", staff),
    Page("auth_user_password_change", staff),
    Page("password_change_done"),
    Page("django_celery_beat_periodictask_add"),
    Page("django_celery_beat_periodictask_delete", PeriodicTask.objects.all),
    Page("django_celery_beat_intervalschedule_add"),
    Page("django_celery_beat_intervalschedule_delete", IntervalSchedule.objects.all),
    Page("django_celery_beat_crontabschedule_changelist"),
    Page("django_celery_beat_crontabschedule_change", CrontabSchedule.objects.all),
    Page("django_celery_beat_crontabschedule_delete", CrontabSchedule.objects.all),
    Page("django_celery_beat_solarschedule_changelist"),
    Page("django_celery_beat_solarschedule_add"),
    Page("django_celery_beat_clockedschedule_changelist"),
    Page("django_celery_beat_clockedschedule_add"),
)

BUTTON = "does something by POST and shows no page"
PART = "is loaded by a page that is tested"
FILE = "is a download"
OF_DJANGO = "is Django's own"
NO_PAGES = {
    **dict.fromkeys(
        [
            "auth_user_link",
            "campaigns_campaign_copy",
            "campaigns_campaign_message_test",
            "campaigns_campaign_first_day_dismiss",
            "core_shopprofile_mail_test",
            "campaigns_campaign_action",
            "campaigns_campaign_early_start",
            "campaigns_campaign_resume_sending",
            "campaigns_campaign_send_test",
            "campaigns_couponpool_discard",
            "campaigns_couponpool_empty",
            "customers_import_cancel",
            "customers_import_start",
            "customers_import_describe",
            "segments_endpoint_pause",
            "segments_endpoint_resume",
            "segments_endpoint_rotate",
            "segments_endpoint_test",
            "segments_segment_install_templates",
            "segments_segment_lifecycle_set_up",
            "segments_segment_members_selected",
            "segments_segment_history_cancel",
            "segments_segment_history_compare",
            "segments_segment_history_compute",
            "segments_segment_refresh",
            "segments_segment_restore",
            "segments_segment_star",
        ],
        BUTTON,
    ),
    **dict.fromkeys(
        [
            "campaigns_campaign_home_reach",
            "campaigns_campaign_home_sales",
            "campaigns_campaign_home_stages",
            "campaigns_campaign_home_suggestions",
            "campaigns_campaign_message_links",
            "campaigns_campaign_message_preview",
            "campaigns_campaign_message_recipients",
            "customers_import_progress",
            "search",
            "campaigns_campaign_reach",
            "segments_segment_ahead",
            "segments_segment_filling",
            "segments_segment_history_progress",
            "segments_segment_flow_panel",
            "segments_segment_retention_panel",
            "segments_segment_rule_count",
            "segments_segment_rule_count_result",
            "segments_segment_rule_details",
            "segments_segment_rule_suggestions",
            "segments_segment_rule_unknown_values",
            "segments_segment_template_size",
        ],
        PART,
    ),
    **dict.fromkeys(
        [
            "campaigns_campaign_audience_download",
            "customers_customer_export",
            "customers_import_refused",
            "segments_segment_upcoming_csv",
        ],
        FILE,
    ),
    **dict.fromkeys(["app_list", "autocomplete", "jsi18n", "login", "logout", "view_on_site"], OF_DJANGO),
    "segments_segment_flow_people": "the list of a cell of a flow, whose days and stages are in the query",
    "segments_segment_retention_people": "the list of a cell of a triangle, whose month is in the query",
    "core_shopprofile_change": "shows what the list of the one shop shows",
    "axes_accessattempt_change": "shows what the list of failed logins shows",
    "customers_identitylink_change": "shows what the list of ids shows",
    "customers_erasure_change": "shows what the list of erasures shows",
    "customers_suppression_change": "shows what the list of suppressed addresses shows",
    "django_celery_beat_solarschedule_change": "no schedule of ours follows the sun",
    "django_celery_beat_solarschedule_delete": "no schedule of ours follows the sun",
    "django_celery_beat_clockedschedule_change": "no schedule of ours runs once",
    "django_celery_beat_clockedschedule_delete": "no schedule of ours runs once",
}


# -- Pages of the admin


def admin_views() -> set[str]:
    """Return the name of every address of the admin that somebody can open."""
    names: set[str] = set()
    for entry in admin.site.get_urls():
        patterns = entry.url_patterns if isinstance(entry, URLResolver) else [entry]
        names |= {name for pattern in patterns if (name := getattr(pattern, "name", None))}
    return names - closed_views() - {f"{prefix(model)}_history" for model in admin.site._registry}


def closed_views() -> set[str]:
    """Return the views that the admin has for every model and that are closed to superusers, too."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    closed = set()
    for model, site in admin.site._registry.items():
        allowed = {
            "add": site.has_add_permission(request),
            "change": site.has_view_or_change_permission(request),
            "delete": site.has_delete_permission(request),
        }
        closed |= {f"{prefix(model)}_{view}" for view, is_allowed in allowed.items() if not is_allowed}
    return closed


def prefix(model: type) -> str:
    return model._meta.label_lower.replace(".", "_")  # type: ignore[attr-defined]


def test_every_page_of_the_admin_is_tested_or_has_a_reason_why_not() -> None:
    tested = {page.view for page in (*PAGES, *PARTS, *RARE_PAGES)}

    assert admin_views() - tested - NO_PAGES.keys() == set(), (
        "add these pages to tests/support/admin_pages.py"
    )
    assert NO_PAGES.keys() - admin_views() == set(), "these addresses are gone"
    assert NO_PAGES.keys() & tested == set(), "these are tested and need no reason"


@pytest.mark.django_db
@pytest.mark.parametrize("page", RARE_PAGES, ids=lambda page: page.view)
def test_only_administrators_can_open_rare_pages(page: Page, admin_client, client: Client) -> None:
    address = page.address

    assert admin_client.get(address).status_code == 200
    assert client.get(address).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        reverse("admin_password_reset"),
        reverse("password_reset_done"),
        reverse("password_reset_confirm", args=["MQ", "no-token"]),
    ],
)
def test_pages_for_a_forgotten_password_open_without_a_login(address: str, client: Client) -> None:
    assert client.get(address).status_code == 200


# -- Commands


def test_every_command_is_run_by_a_test() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py"))
    ours = [name for name, app in get_commands().items() if app in APPS]
    callers = r'(?:call_command|command|failing|manage|manage\.py")'

    assert "refresh_segments" in ours
    assert [name for name in ours if not re.search(rf'{callers}\W{{1,6}}"{name}"', source)] == []


# -- Scheduled tasks


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("task", sorted({schedule.task for schedule in SCHEDULES}))
def test_every_scheduled_task_runs_and_may_run_again(task: str) -> None:
    shop.customers("c1,anna@example.org")
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    for _ in range(2):
        current_app.tasks[task].apply(throw=True)


# -- Endpoints of the API


@pytest.mark.django_db
def test_every_described_endpoint_is_tested_without_permission() -> None:
    described = {
        (method, re.sub(r"{.*?}", "…", path))
        for path, methods in SchemaGenerator().get_schema(public=True)["paths"].items()
        for method in methods
        if path.startswith("/api/")
    }
    tried = {(door.method, masked(door.address)) for door in doors(VALUES)}

    assert described
    assert described - tried == set()


def masked(address: str) -> str:
    """Return an address of the API with its values left out, as `described` has them."""
    for value in sorted({*VALUES.values(), "1"}, key=len, reverse=True):
        address = re.sub(rf"(?<=/){re.escape(value)}(?=/)", "…", address)
    return address
