"""A customer is recorded through every interface, exported and erased; then no table and no file names them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from campaigns import tasks as campaign_tasks
from campaigns.delivery import channel_health
from customers.imports import csv_files, uploads
from customers.models import Customer, Event, Import, RefusedMessage
from customers.privacy.mentions import Mentions
from customers.tracking import inbox
from segments.changes import retention
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.campaign_runs import campaign
from tests.support.tracking_messages import identify, message, send, source, track

from .test_privacy import everything_stored

pytestmark = pytest.mark.django_db

ID, ORDER, BROWSER = "zoë-Ünique-7", "order-of-zoë", "browser-of-zoë"
EMAIL, PHONE, NUMBER = "Zoe.Unique@Secret.Example", "+49 30 901820", "+4930901820"
JOERG = Mentions(frozenset({"7", "long-enough"}), frozenset({"jörg@example.org"}), frozenset({"4930901820"}))
TRACES = ("zoë-ünique", "zoe.unique", "901820", "of-zoë")


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path) -> Path:
    settings.IMPORTS_DIR = tmp_path / "imports"
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "outbox")
    return tmp_path


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient("ingest", "privacy", "members:read")


def traces(folder: Path) -> set[str]:
    """Look for the person as somebody would who reads all that is stored: escapes decoded, whatever the case."""
    files = [file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file()]
    everything = "\n".join([everything_stored(), *files])
    readable = re.sub(r"\\+u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), everything).casefold()
    return {one for one in TRACES if one in readable}


def come_in(caller: ApiClient) -> None:
    """Come in by the API, by messages that are taken and refused, by a file and its refused rows."""
    zoe = {
        "customer_id": ID,
        "email": EMAIL,
        "phone": NUMBER,
        "first_name": "Zoë",
        "newsletter": "subscribed",
    }
    caller.request("post", "customers/", zoe, 201, Idempotency_Key="k1")
    bad = [{"customer_id": ID, "email": f"{EMAIL} "}, {"customer_id": "o", "email": f"<{EMAIL}"}]
    caller.request("post", "customers/", bad, Idempotency_Key="k2")
    _, key = source()
    send(
        key,
        identify(ID, BROWSER, email=EMAIL, phone=PHONE),
        track("Order Completed", user=ID, order_id=ORDER, total=10, currency="EUR"),
        message("dance", user=ID),  # refused, by a non-ASCII id
        message("dance", user="another", traits={"email": EMAIL.upper()}),
        message("dance", user="another", traits={"phone": "030 / 90 18 20"}),
        message("dance", anonymous=BROWSER),
        message("dance", user="another", properties={"order_id": "7", "quantity": 7}),  # somebody else's
    )
    # By the key of a browser anybody can name them, sign nothing, and ask for the newsletter in their name.
    _, public = source("browser")
    send(
        public,
        identify(ID, "b2-of-zoë", email=EMAIL, phone=PHONE, newsletter=True),
        identify("", "b3-of-zoë", email=EMAIL, newsletter=True),
        track("Order Completed", user=ID, anonymous="b2-of-zoë", order_id=ORDER, total=1, email=EMAIL),
        track("Order Completed", anonymous=BROWSER, order_id="draft-of-zoë", total=1),
        message("dance", user=ID, anonymous="b2-of-zoë"),
    )
    admin = Client()
    admin.force_login(User.objects.create_superuser("admin"))
    rows = f"customer_id,email,phone\nc-1,one@example.org,\n{ID},nobody,\n,{EMAIL.lower()},\n"
    admin.post(reverse("admin:customers_import_add"), {"file": SimpleUploadedFile("vips.csv", rows.encode())})
    uploads.start_import(Import.objects.get(), csv_files.FORMATS["customers"], datetime.now(UTC))
    uploads.run_next_import()


def write_to_them() -> None:
    """Let a campaign write to the person and to somebody else, into files."""
    shop.customers("other,other@example.org,subscribed", header="customer_id,email,newsletter")
    segment = shop.segment("everybody", {"known": {"is": True}})
    campaign(segment, include_bulk_entries=True)
    refresh_all()
    campaign_tasks.run_campaigns()
    channel_health.record_outcomes("email", "x", datetime.now(UTC), f"550 5.1.1 <{EMAIL}>: no such user")


def test_no_table_or_file_names_an_erased_customer(caller, folders) -> None:
    come_in(caller)
    write_to_them()
    assert traces(folders) == set(TRACES)
    refused = RefusedMessage.objects.count()

    told = caller.get(f"customers/{quote(ID)}/export/")
    assert len(told["tracking"]["refused"]) == 5
    assert len(told["api_responses"]) == 1
    assert [one["import"] for one in told["imports"]] == ["vips.csv"]
    assert len(told["campaigns"]["mail_files"]) == 1
    # Browsers that gave the address, and are linked with nobody, are customers of their own.
    shared = caller.request("delete", f"customers/{quote(ID)}/")["sharing_addresses"]
    assert shared
    for other in shared:
        caller.call("delete", f"customers/{quote(other)}/")

    retention.delete_erased_ids(datetime.now(UTC) + retention.ERASED_ID_RETENTION)
    assert traces(folders) == set()
    assert RefusedMessage.objects.count() == refused - 5
    assert "other@example.org" in "".join(file.read_text() for file in (folders / "outbox").iterdir())


def test_messages_in_files_are_erased_also_once_a_mail_server_is_set(caller, folders, settings) -> None:
    subscribed = f"{ID},{EMAIL},subscribed"
    shop.customers(subscribed, header="customer_id,email,newsletter")
    write_to_them()
    assert len(list((folders / "outbox").iterdir())) > 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"

    assert len(caller.get(f"customers/{quote(ID)}/export/")["campaigns"]["mail_files"]) == 1
    caller.delete(f"customers/{quote(ID)}/")

    left = "".join(file.read_text() for file in (folders / "outbox").iterdir())
    assert "other@example.org" in left
    assert EMAIL.lower() not in left.lower()


def test_waiting_messages_are_processed_without_the_erased_customer(caller) -> None:
    shop.customers(f"{ID},{EMAIL}", header="customer_id,email")
    _, key = source()
    send(key, message("dance", user=ID), track("View", user="another"), drain=False)
    send(key, message("dance", user="another", traits={"email": EMAIL}), drain=False)

    caller.delete(f"customers/{quote(ID)}/")
    inbox.drain()

    assert not RefusedMessage.objects.exists()
    assert Event.objects.get().customer.customer_id == "another"


def test_a_repeated_request_takes_no_effect_after_its_response_is_erased(caller) -> None:
    zoe = {"customer_id": ID, "email": EMAIL}
    caller.request("post", "customers/", zoe, 201, Idempotency_Key="k1")
    caller.delete(f"customers/{quote(ID)}/")

    again = caller.call("post", "customers/", zoe, Idempotency_Key="k1")

    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert ID not in again.content.decode()
    assert not Customer.objects.exists()


def test_customers_who_share_an_address_are_named_and_not_erased(caller, admin_client) -> None:
    shop.customers(
        f"{ID},{EMAIL},",
        f"again,{EMAIL.lower()},",
        f"by-phone,,{NUMBER}",
        "stranger,other@example.org,+493012345",
        header="customer_id,email,phone",
    )
    Customer.objects.filter(customer_id=ID).update(phone=NUMBER)
    page = reverse("admin:customers_customer_erase", args=[Customer.objects.get(customer_id=ID).pk])

    assert caller.get(f"customers/{quote(ID)}/export/")["sharing_addresses"] == ["again", "by-phone"]
    shown = admin_client.get(page).content.decode()
    assert "again" in shown
    assert "by-phone" in shown
    assert "stranger" not in shown
    told = caller.request("delete", f"customers/{quote(ID)}/")
    assert told == {"sharing_addresses": ["again", "by-phone"]}
    assert (
        "not erased, although they have the same e-mail address or phone number: by-phone"
        not in shop.command("erase_customer", "again", "--yes")
    )
    assert set(Customer.objects.values_list("customer_id", flat=True)) == {"by-phone", "stranger"}


@pytest.mark.parametrize(
    "text",
    [
        '{"userId": 7, "event": "x"}',
        '{"userId": "7"}',
        r'{"traits": {"name": "J\u00f6rg", "mail": "J\u00d6RG@example.org"}}',
        '{"traits": {"phone": "0049 (30) 901820"}}',
        '{"traits": {"phone": "030/901820"}}',
        '{"properties": {"note": "call +49-30-901820 or jörg@example.org."}}',
        '{"userId": "long-enough',
    ],
)
def test_refused_messages_that_mention_a_customer_in_any_form_are_found(text: str) -> None:
    assert JOERG.in_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"userId": 77, "quantity": 7, "size": "7"}',
        '{"userId": "long-enough-to-be-another"}',
        '{"traits": {"mail": "not.jörg@example.org"}}',
        '{"timestamp": "2026-03-01T10:00:00.901820Z", "phone": "+49 40 901820"}',
    ],
)
def test_refused_messages_about_others_stay(text: str) -> None:
    assert not JOERG.in_json(text)
