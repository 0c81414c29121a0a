"""API keys: shown once, stored as a digest, limited to their scopes, and unusable once revoked."""

import hashlib
import re
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core.management import CommandError
from django.db import connection
from django.test import Client
from django.urls import reverse

from core.api import keys
from core.models import ApiKey
from tests.support.shop import NOON, command

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/segments/"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def everything_stored() -> str:
    """All cells of all tables, as text."""
    with connection.cursor() as cursor:
        dump = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            dump += [repr(row) for row in cursor.fetchall()]
    return "\n".join(dump)


# -- The command


def test_the_last_line_of_output_ends_with_a_key_that_has_its_scopes(client: Client) -> None:
    output = command("create_key", "Späti-Bot ☕", "--scopes", "members:read, segments:read,")

    secret = output.splitlines()[-1].split()[-1]
    assert re.fullmatch(r"seg_[\w-]{43}", secret)
    assert client.get(ADDRESS, headers=bearer(secret)).status_code == 200
    key = ApiKey.objects.get()
    assert key.name == "Späti-Bot ☕"
    assert key.scopes == ["segments:read", "members:read"]


@pytest.mark.parametrize(
    ("name", "scopes", "complaint"),
    [
        (
            "bot",
            "segments:read,everything",
            r"no scope 'everything' \(the scopes are: segments:read, .*privacy",
        ),
        ("bot", "ingest,visitors:read", r"visitors:read cannot be combined with other scopes"),
        ("bot", " , ", r"at least one scope \(the scopes are: segments:read"),
        ("", "ingest", "name: This field cannot be blank"),
        ("n" * 101, "ingest", "name: .*at most 100 characters"),
    ],
    ids=["unknown scope", "public and secret", "no scope", "no name", "long name"],
)
def test_a_key_with_invalid_scopes_is_not_created(name: str, scopes: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        command("create_key", name, "--scopes", scopes)

    assert not ApiKey.objects.exists()


def test_a_key_expires_and_works_only_from_its_networks(client: Client) -> None:
    limits = ("--expires", "2026-03-15T13:00+01:00", "--networks", "192.0.2.0/24, 2001:db8::7")
    with time_machine.travel(NOON - timedelta(hours=1), tick=False) as clock:
        said = command("create_key", "bot", "--scopes", "segments:read", *limits)
        secret = said.split()[-1]

        def status(address: str) -> int:
            return client.get(ADDRESS, headers=bearer(secret), REMOTE_ADDR=address).status_code

        here = {"192.0.2.9": 200, "::ffff:192.0.2.9": 200, "2001:db8::7": 200}
        elsewhere = {"192.0.3.9": 401, "2001:db8::8": 401, "::1": 401, "": 401}
        assert {address: status(address) for address in here | elsewhere} == here | elsewhere
        clock.shift(3599)
        assert status("192.0.2.9") == 200
        clock.shift(1)
        assert status("192.0.2.9") == 401

    assert "until 2026-03-15T12:00:00+00:00 from 192.0.2.0/24, 2001:db8::7/128" in said


def test_behind_a_proxy_the_client_address_is_the_one_the_proxy_adds(client: Client, settings) -> None:
    _, secret = keys.create_key("bot", ["segments:read"], networks=["192.0.2.0/24"])

    def status(forwarded: str) -> int:
        headers = bearer(secret) | {"X-Forwarded-For": forwarded}
        return client.get(ADDRESS, headers=headers, REMOTE_ADDR="10.0.0.1").status_code

    assert status("192.0.2.9") == 401  # anybody can send this header
    settings.BEHIND_HTTPS_PROXY = True
    assert status("192.0.2.9") == 200
    assert status("192.0.2.9, 198.51.100.1") == 401


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scopes", "ingest", "--expires", "2020-01-01"], "expires_at: is in the past"),
        (["--scopes", "ingest", "--expires", "tomorrow"], "'tomorrow' is not a time"),
        (["--scopes", "ingest", "--networks", "here"], "networks: 'here' is not a network"),
        (["--scopes", "ingest", "--networks", "192.0.2.1/24"], "is an address inside 192.0.2.0/24"),
        (["--write", "--networks", "192.0.2.1"], "cannot be used with --write"),
        (["--scopes", "ingest", "--visitors"], "not allowed with argument"),
    ],
)
def test_invalid_limits_of_a_key_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        command("create_key", "bot", *arguments)

    assert not ApiKey.objects.exists()


# -- Storage


def test_the_secret_is_not_stored(client: Client) -> None:
    key, secret = keys.create_key("bot", ["segments:read"])
    client.get(ADDRESS, headers=bearer(secret))

    stored = everything_stored()

    assert hashlib.sha256(secret.encode()).hexdigest() in stored
    assert key.prefix == secret[:12]
    assert secret[12:] not in stored


def test_two_keys_of_one_name_are_two_keys() -> None:
    (one, first), (other, second) = keys.create_key("bot", ["ingest"]), keys.create_key("bot", ["privacy"])

    assert first != second
    assert keys.find_key(first) == one
    assert keys.find_key(second) == other


def test_a_key_that_is_revoked_twice_keeps_the_first_time() -> None:
    key, secret = keys.create_key("bot", ["ingest"])

    keys.revoke_key(key)
    first = key.revoked_at
    keys.revoke_key(key)

    assert first is not None
    assert key.revoked_at == first
    assert keys.find_key(secret) is None


# -- Use


def test_the_last_use_is_stored_once_a_minute(client: Client) -> None:
    key, secret = keys.create_key("bot", ["segments:read"])

    def used_at(seconds: int) -> float:
        with time_machine.travel(NOON + timedelta(seconds=seconds), tick=False):
            client.get(ADDRESS, headers=bearer(secret))
        key.refresh_from_db()
        assert key.last_used_at is not None
        return (key.last_used_at - NOON).total_seconds()

    assert [used_at(second) for second in (0, 59, 60, 61, 119, 120)] == [0, 0, 60, 60, 60, 120]


def test_one_of_two_concurrent_requests_stores_the_last_use(django_assert_num_queries) -> None:
    key, secret = keys.create_key("bot", ["segments:read"])
    one, other = keys.find_key(secret), keys.find_key(secret)
    assert one is not None
    assert other is not None

    keys.record_use(one, NOON)
    keys.record_use(other, NOON + timedelta(seconds=1))

    key.refresh_from_db()
    assert key.last_used_at == NOON
    with django_assert_num_queries(0):
        keys.record_use(key, NOON + timedelta(seconds=59))


@pytest.mark.django_db(transaction=True)
def test_a_request_does_not_wait_for_a_writer(client: Client) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite, which has one writer")
    key, secret = keys.create_key("bot", ["segments:read"])
    writer = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    started = time.monotonic()
    answer = client.get(ADDRESS, headers=bearer(secret))
    took = time.monotonic() - started
    writer.execute("ROLLBACK")
    writer.close()

    assert answer.status_code == 200
    assert took < 5
    key.refresh_from_db()
    assert key.last_used_at is None
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (20_000,)


# -- In the admin


NEW = {
    "name": "Späti-Bot",
    "scopes": ["members:read", "segments:read"],
    "networks": "192.0.2.0/24\r\n::1\r\n",
}
NEW |= {"expires_at_0": "2100-01-01", "expires_at_1": "00:00:00"}


def test_staff_create_a_key_that_is_shown_once_and_not_stored(admin_client: Client) -> None:
    made = admin_client.post(reverse("admin:core_apikey_add"), NEW)

    [secret] = set(re.findall(r"seg_[\w-]{43}", made.content.decode()))
    key = ApiKey.objects.get()
    assert (key.scopes, key.networks) == (["segments:read", "members:read"], ["192.0.2.0/24", "::1/128"])
    assert key.expires_at == datetime(2100, 1, 1, tzinfo=UTC)
    assert "no-store" in made["Cache-Control"]
    for page in (
        reverse("admin:core_apikey_change", args=[key.pk]),
        reverse("admin:core_apikey_changelist"),
    ):
        shown = admin_client.get(page).content.decode()
        assert secret not in shown
        assert "192.0.2.0/24" in shown
    sessions = [session.get_decoded() for session in Session.objects.all()]
    assert secret not in everything_stored() + repr(sessions)
    assert Client().get(ADDRESS, headers=bearer(secret), REMOTE_ADDR="192.0.2.3").status_code == 200
    [entry] = LogEntry.objects.all()
    assert (entry.is_addition(), entry.object_repr) == (True, str(key))


def test_staff_edit_only_the_limits_of_a_key(admin_client: Client) -> None:
    key, secret = keys.create_key("bot", ["segments:read"])
    page = reverse("admin:core_apikey_change", args=[key.pk])
    fields = {"name": "robot", "networks": "192.0.2.0/24", "scopes": ["privacy"], "digest": "0" * 64}

    assert admin_client.post(page, fields | {"networks": "192.0.2.1/24"}).status_code == 200
    assert (
        "is an address inside"
        in admin_client.post(page, fields | {"networks": "192.0.2.1/24"}).content.decode()
    )
    assert admin_client.post(page, fields).status_code == 302

    found = keys.find_key(secret)
    assert found is not None
    assert (found.name, found.networks, found.scopes) == ("robot", ["192.0.2.0/24"], ["segments:read"])
    assert "networks" in LogEntry.objects.get().get_change_message()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["ingest", "visitors:read"]}, "cannot be combined with other scopes"),
        ({"expires_at_0": "2020-01-01"}, "is in the past"),
        ({"networks": "everywhere"}, "is not a network"),
    ],
)
def test_the_form_shows_what_is_invalid(fields: dict[str, Any], complaint: str, admin_client: Client) -> None:
    answer = admin_client.post(reverse("admin:core_apikey_add"), NEW | fields)

    assert complaint in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_creating_keys_needs_a_permission(client: Client) -> None:
    anna = User.objects.create_user("anna", is_staff=True)
    anna.user_permissions.add(Permission.objects.get(codename="change_apikey"))
    client.force_login(anna)

    assert client.post(reverse("admin:core_apikey_add"), NEW).status_code == 403
    assert not ApiKey.objects.exists()
