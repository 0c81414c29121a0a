"""The settings of the shop: edited in the admin, and followed by everything that prints, counts and sends."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule

from core.models import ShopProfile
from core.shop import last_known_shop, shop
from customers import tasks
from customers.imports import csv_files
from customers.ingestion import attribute_dates
from customers.models import AttributeDates, DatedAttribute, Import
from customers.rows.settings import shop_settings
from segments.models import Refresh
from segments.refresh.engine import refresh_all
from segments_project.celery import app
from tests.conftest import eventually
from tests.support.shop import command, customers, members, orders, segment

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:core_shopprofile_changelist")
ROSSI = {
    "name": "Bottega Rossi", "url": "https://rossi.example/", "address": "Via Roma 1, Milano", "currency": "EUR",
    "time_zone": "Europe/Rome", "sender_name": "Bottega Rossi", "sender_address": "ciao@rossi.example",
    "logo": "https://pictures.example/logo.png", "colour": "#aa3300",
}  # fmt: skip


def saved(client: Client, **changes: str) -> Any:
    """Fill in the form as the page shows it, with these changes, and send it."""
    form = client.get(PAGE).context["adminform"].form
    shown = {name: str(form[name].value() or "") for name in form.fields}
    return client.post(PAGE, {key: text for key, text in (shown | changes).items() if text}, follow=True)


def errors(page: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = page.context["errors"] and page.context["adminform"].form.errors
    return found


# -- Which settings count


def test_the_form_begins_with_the_values_of_the_environment(settings, admin_client) -> None:
    settings.SHOP_NAME, settings.SHOP_CURRENCY, settings.TIME_ZONE = "Lumi", "CHF", "Europe/Zurich"
    settings.DEFAULT_FROM_EMAIL = "Lumi & co <news@lumi.example>"

    form = admin_client.get(PAGE).context["adminform"].form

    assert [form[name].value() for name in ("name", "currency", "time_zone", "sender_name", "sender_address")] == [
        "Lumi", "CHF", "Europe/Zurich", "Lumi & co", "news@lumi.example",
    ]  # fmt: skip
    assert not ShopProfile.objects.exists()


def test_saved_settings_count_and_not_the_environment(settings, admin_client) -> None:
    saved(admin_client, **ROSSI)
    settings.SHOP_NAME, settings.TIME_ZONE = "Another", "Asia/Tokyo"

    assert shop().name == last_known_shop().name == "Bottega Rossi"
    assert shop().zone.key == "Europe/Rome"
    assert shop().sender == "Bottega Rossi <ciao@rossi.example>"


def test_only_the_shop_module_reads_the_environments_values() -> None:
    """Everything else would miss what staff have saved."""
    reads = re.compile(
        r"settings\.(TIME_ZONE|DEFAULT_FROM_EMAIL|SHOP_(NAME|URL|ADDRESS|CURRENCY|LOGO|COLOUR))\b"
    )
    allowed = {
        "core/shop.py",
        "core/staff/schedules.py",  # schedules are installed before there is a shop
        "segments_project/server/processes.py",  # gives them to the processes
    }
    root = Path(configured.BASE_DIR)
    sources = [path for name in ("core", "customers", "segments", "campaigns", "segments_project")
               for path in (root / name).rglob("*.py") if "migrations" not in path.parts]  # fmt: skip

    assert {str(path.relative_to(root)) for path in sources if reads.search(path.read_text())} == allowed


def test_every_email_names_its_sender() -> None:
    """Django would send with the environment's."""
    root = Path(configured.BASE_DIR)
    senders = re.compile(r"(?<!def )\b(?:EmailMultiAlternatives|EmailMessage|send_mail)\(")
    for name in ("core", "customers", "segments", "campaigns", "segments_project"):
        for path in (root / name).rglob("*.py"):
            for call in senders.finditer(text := path.read_text()):
                assert "super()." in text[: call.start()][-8:] or ".sender" in text[call.start() :][:300], (
                    path
                )


# -- The form


def test_what_is_no_time_zone_currency_or_address_is_refused(admin_client) -> None:
    page = saved(
        admin_client,
        **ROSSI
        | {
            "time_zone": "Europe/Nowhere", "currency": "ZZZ", "sender_address": "nobody", "colour": "red",
            "logo": "http://pictures.example/logo.png", "url": "ftp://rossi.example/",
        },
    )  # fmt: skip

    assert set(errors(page)) == {"time_zone", "currency", "sender_address", "colour", "logo", "url"}
    assert not ShopProfile.objects.exists()


@pytest.mark.parametrize("name", ["Rossi\r\nBcc: all@example.org", "Rossi\x00"])
def test_a_name_cannot_add_a_header_to_messages(name: str, admin_client) -> None:
    page = saved(admin_client, **ROSSI | {"name": name, "sender_name": name})

    assert {"name", "sender_name"} <= set(errors(page))


def test_a_url_cannot_hide_its_host_or_add_to_the_policy_of_pages(admin_client) -> None:
    page = saved(admin_client, **ROSSI | {"logo": "https://a;script-src:*@evil.example/x.png"})

    assert "logo" in errors(page)


def test_another_currency_must_be_confirmed_while_there_are_amounts(admin_client) -> None:
    saved(admin_client, **ROSSI)
    orders("o1,c1,2026-03-01,10")

    refused = saved(admin_client, currency="CHF")
    assert "10.00 EUR become 10.00 CHF" in errors(refused)["currency"][0]
    assert 'type="checkbox" name="keep_amounts"' in refused.content.decode()
    assert shop().currency == "EUR"

    saved(admin_client, currency="CHF", keep_amounts="on")
    assert shop().currency == "CHF"


def test_an_empty_shop_chooses_its_currency_freely(admin_client) -> None:
    saved(admin_client, **ROSSI | {"currency": "CHF"})

    assert shop().currency == "CHF"


def test_saving_is_listed_under_activity(admin_client) -> None:
    saved(admin_client, **ROSSI)

    entries = admin_client.get(reverse("admin:admin_logentry_changelist")).context["cl"].result_list
    assert entries[0].object_repr == "Bottega Rossi"
    assert "Time zone" in entries[0].get_change_message()


def test_only_administrators_see_and_change_the_settings() -> None:
    for role, status in (("Viewer", 403), ("Marketer", 403), ("Administrator", 200)):
        user = User.objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        assert client.get(PAGE).status_code == status
        assert client.post(PAGE, ROSSI).status_code == (403 if status == 403 else 302)


# -- What follows the settings


def test_pages_print_times_in_the_saved_time_zone(settings, admin_client, time_machine) -> None:
    settings.TIME_ZONE = "UTC"
    time_machine.move_to(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), tick=False)

    saved(admin_client, **ROSSI)

    entry = admin_client.get(reverse("admin:admin_logentry_changelist"))
    assert "0:30" in entry.content.decode()


def test_another_time_zone_reads_days_anew_in_all_segments(admin_client) -> None:
    saved(admin_client, **ROSSI | {"time_zone": "UTC"})
    orders("o1,c1,2026-03-01T23:30:00Z,10")
    march = segment("second-of-march", {"last_order": {"between": ["2026-03-02", "2026-03-02"]}})
    refresh_all()
    march.refresh_from_db()
    assert march.size == 0

    saved(admin_client, time_zone="Europe/Rome")
    refresh_all()
    march.refresh_from_db()

    assert march.size == 1
    assert Refresh.objects.latest("pk").time_zone == "Europe/Rome"


def test_another_time_zone_reads_the_dates_of_attributes_anew(admin_client, monkeypatch) -> None:
    monkeypatch.setattr(attribute_dates, "BATCH_SIZE", 2)  # three ranges
    saved(admin_client, **ROSSI | {"time_zone": "UTC"})
    customers(
        *(f"c{number},2026-05-01,{number}" for number in range(5)), "c5,2026-05-01T00:00:00Z,2026", "c6,soon,7",
        header="customer_id,renewal,points",
    )  # fmt: skip
    april = segment("renewal-in-april", {"attribute": {"name": "renewal", "before": "2026-05-01"}})
    renewed = segment("renewed", {"attribute": {"name": "renewal", "on_or_after": "2026-05-01"}})
    tasks.reread_dates_of_attributes()
    refresh_all()
    assert members(renewed.slug) == ["c0", "c1", "c2", "c3", "c4", "c5"]

    saved(admin_client, time_zone="America/New_York")
    tasks.reread_dates_of_attributes()
    refresh_all()

    assert members(renewed.slug) == [
        "c0",
        "c1",
        "c2",
        "c3",
        "c4",
    ]  # an instant with an offset stays where it is
    assert members(april.slug) == ["c5"]
    assert command("verify_segments")


def test_dates_of_an_import_that_began_in_the_former_time_zone_are_read_anew(admin_client) -> None:
    saved(admin_client, **ROSSI | {"time_zone": "UTC"})
    former = shop_settings()
    running = Import.objects.create(
        name="customers.csv",
        kind="customers",
        size=1,
        uploaded_at=datetime.now(UTC),
        state=Import.State.RUNNING,
    )
    saved(admin_client, time_zone="America/New_York")
    tasks.reread_dates_of_attributes()

    rows = io.BytesIO(b"customer_id,renewal\nc1,2026-05-01\n")
    csv_files.import_file(csv_files.FORMATS["customers"], rows, former, on_rejected=print)
    Import.objects.filter(pk=running.pk).update(state=Import.State.DONE)
    tasks.reread_dates_of_attributes()

    assert DatedAttribute.objects.get().at == datetime(2026, 5, 1, 4, tzinfo=UTC)
    assert AttributeDates.objects.get().is_complete


def test_schedules_move_to_another_time_zone(admin_client) -> None:
    saved(admin_client, **ROSSI)

    assert {str(one.timezone) for one in CrontabSchedule.objects.all()} == {"Europe/Rome"}


def test_a_new_schedule_begins_in_the_shops_time_zone(admin_client) -> None:
    saved(admin_client, **ROSSI)

    form = admin_client.get(reverse("admin:django_celery_beat_crontabschedule_add")).context["adminform"].form

    assert form["timezone"].value() == "Europe/Rome"


def test_the_logo_may_be_shown_and_nothing_else_from_elsewhere(admin_client) -> None:
    saved(admin_client, **ROSSI)

    policy = admin_client.get(PAGE).headers["Content-Security-Policy"]

    [images] = re.findall(r"img-src ([^;]*)", policy)
    assert set(images.split()) == {"'self'", "data:", "https://rossi.example", "https://pictures.example"}


def test_invitations_come_from_the_sender(settings, admin_client) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    saved(admin_client, **ROSSI | {"sender_name": "Rossi, Milano"})

    role = Group.objects.get(name="Marketer").pk
    admin_client.post(
        reverse("admin:auth_user_add"), {"username": "lucia", "email": "lucia@rossi.example", "role": role}
    )

    [invitation] = mail.outbox
    assert invitation.from_email == '"Rossi, Milano" <ciao@rossi.example>'
    assert invitation.subject == "Your access to the segments of Bottega Rossi"


@pytest.mark.django_db(transaction=True)
def test_a_running_worker_follows_a_change(celery_worker: str, admin_client) -> None:
    orders("o1,c1,2026-03-01T23:30:00Z,10")
    segment("everybody", {"order_count": {"at_least": 1}})
    app.send_task("segments.tasks.refresh_all")
    eventually(lambda: Refresh.objects.filter(time_zone="UTC").exists())

    saved(admin_client, **ROSSI)
    app.send_task("segments.tasks.refresh_all")

    eventually(lambda: Refresh.objects.filter(time_zone="Europe/Rome").exists())
