"""API keys: shown once, kept as a digest, limited to their scopes, and closed for good when revoked."""

import hashlib
import re
import sqlite3
import time
from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError
from django.db import connection
from django.test import Client

from customers import keys
from customers.models import ApiKey
from tests.shop import NOON, command

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


@pytest.mark.django_db
def test_the_last_line_ends_with_the_key_and_the_key_opens_its_scopes(client: Client) -> None:
    output = command("create_key", "Späti-Bot ☕", "--scopes", "members:read, segments:read,")

    secret = output.splitlines()[-1].split()[-1]
    assert re.fullmatch(r"seg_[\w-]{43}", secret)
    assert client.get(ADDRESS, headers=bearer(secret)).status_code == 200
    key = ApiKey.objects.get()
    assert key.name == "Späti-Bot ☕"
    assert key.scopes == ["segments:read", "members:read"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "scopes", "complaint"),
    [
        ("bot", "segments:read,everything", r"no scope 'everything' \(there are: segments:read, .*privacy\)"),
        ("bot", " , ", r"at least one scope \(there are: segments:read"),
        ("", "ingest", "name: This field cannot be blank"),
        ("n" * 101, "ingest", "name: .*at most 100 characters"),
    ],
    ids=["unknown scope", "no scope", "no name", "long name"],
)
def test_a_key_that_will_not_do_is_not_made(name: str, scopes: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        command("create_key", name, "--scopes", scopes)

    assert not ApiKey.objects.exists()


# -- Storage


@pytest.mark.django_db
def test_the_secret_is_nowhere_in_the_database(client: Client) -> None:
    key, secret = keys.create("bot", ["segments:read"])
    client.get(ADDRESS, headers=bearer(secret))

    stored = everything_stored()

    assert hashlib.sha256(secret.encode()).hexdigest() in stored
    assert key.prefix == secret[:12]
    assert secret[12:] not in stored


@pytest.mark.django_db
def test_two_keys_of_one_name_are_two_keys() -> None:
    (one, first), (other, second) = keys.create("bot", ["ingest"]), keys.create("bot", ["privacy"])

    assert first != second
    assert keys.find(first) == one
    assert keys.find(second) == other


@pytest.mark.django_db
def test_a_revoked_key_is_not_found_and_keeps_its_moment_when_revoked_twice() -> None:
    key, secret = keys.create("bot", ["ingest"])

    keys.revoke(key)
    first = key.revoked_at
    keys.revoke(key)

    assert first is not None
    assert key.revoked_at == first
    assert keys.find(secret) is None


# -- Use


@pytest.mark.django_db
def test_the_last_use_is_written_once_a_minute(client: Client) -> None:
    key, secret = keys.create("bot", ["segments:read"])

    def used_at(seconds: int) -> float:
        with time_machine.travel(NOON + timedelta(seconds=seconds), tick=False):
            client.get(ADDRESS, headers=bearer(secret))
        key.refresh_from_db()
        assert key.last_used_at is not None
        return (key.last_used_at - NOON).total_seconds()

    assert [used_at(second) for second in (0, 59, 60, 61, 119, 120)] == [0, 0, 60, 60, 60, 120]


@pytest.mark.django_db
def test_of_two_requests_at_once_one_writes_the_use(django_assert_num_queries) -> None:
    key, secret = keys.create("bot", ["segments:read"])
    one, other = keys.find(secret), keys.find(secret)
    assert one is not None
    assert other is not None

    keys.note_use(one, NOON)
    keys.note_use(other, NOON + timedelta(seconds=1))

    key.refresh_from_db()
    assert key.last_used_at == NOON
    with django_assert_num_queries(0):
        keys.note_use(key, NOON + timedelta(seconds=59))


@pytest.mark.django_db(transaction=True)
def test_a_request_does_not_wait_for_a_writer(client: Client) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("about SQLite, which has one writer")
    key, secret = keys.create("bot", ["segments:read"])
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
