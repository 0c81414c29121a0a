"""Secrets in the database: readable by this installation alone, and under another key once they are rotated."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.core.management import CommandError
from django.db import connection

from customers.models import Source
from customers.tracking import sources
from segments.models import Endpoint
from segments.webhooks import delivery, endpoints, outbox

from .support import tracking_messages
from .support.shop import command

pytestmark = pytest.mark.django_db

FORMER, CURRENT = "a former key of this installation", "the key of this installation"


@pytest.fixture
def secrets(settings: Any) -> list[str]:
    """The secrets of a webhook, of which one is former, and of a source, made under the former key."""
    settings.SECRET_KEY = FORMER
    endpoint = endpoints.create_endpoint(
        Endpoint(name="Tool", url="https://1.1.1.1/hooks"), [], datetime.now(UTC)
    )
    endpoints.rotate_secret(endpoint, datetime.now(UTC))
    source, _ = tracking_messages.source("browser")
    return [endpoint.secret, endpoint.former_secret, source.signing_secret]


def held() -> list[str]:
    """What the application reads."""
    [endpoint], [source] = Endpoint.objects.all(), Source.objects.all()
    return [endpoint.secret, endpoint.former_secret, source.signing_secret]


def stored() -> list[str]:
    """What a copy of the database says."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret, former_secret FROM segments_endpoint")
        ours = [text for row in cursor.fetchall() for text in row]
        cursor.execute("SELECT signing_secret FROM customers_source")
        return ours + [text for row in cursor.fetchall() for text in row]


def test_a_copy_of_the_database_reveals_no_secret(secrets):
    assert held() == secrets
    assert len(set(stored())) == 3
    assert not [secret for secret in secrets for text in stored() if secret in text or secret[6:] in text]


@pytest.mark.parametrize("lookup", ["", "__gte", "__startswith", "__in", "__regex", "__length"])
def test_nothing_is_compared_with_a_secret(lookup, secrets):
    with pytest.raises(FieldError):
        Endpoint.objects.filter(**{f"secret{lookup}": "w"})
    with pytest.raises(FieldError):
        Source.objects.filter(**{f"signing_secret{lookup}": "w"})


def test_secrets_stay_readable_after_a_change_of_the_key(secrets, settings):
    before = stored()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = CURRENT, [FORMER]
    assert held() == secrets

    assert "3 secrets" in command("rotate_secrets")

    settings.SECRET_KEY_FALLBACKS = []
    assert held() == secrets
    assert not set(stored()) & set(before)


def test_a_secret_that_no_key_decrypts_signs_and_verifies_nothing(secrets, settings):
    settings.SECRET_KEY = CURRENT
    [endpoint], [source] = Endpoint.objects.all(), Source.objects.all()

    signature = hmac.new(b"", b"c1", hashlib.sha256).hexdigest()
    assert not sources.is_signature_valid(source, "c1", signature)
    outbox.write_test_message(endpoint, datetime.now(UTC))
    delivery.deliver_due()
    endpoint.refresh_from_db()
    assert endpoint.state == "stopped"
    assert "SECRET_KEY" in endpoint.stop_reason
    with pytest.raises(CommandError, match="signing_secret of tracking source"):
        command("rotate_secrets")

    endpoints.rotate_secret(endpoint, datetime.now(UTC))
    assert endpoints.signing_secrets(Endpoint.objects.get(), datetime.now(UTC)) == [endpoint.secret]
