"""Fixtures of campaign tests: a real mail server, and a clock that tests move."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import campaign_runs
from tests.support.campaign_runs import Move
from tests.support.mail_server import MailServer, mail_server


@pytest.fixture
def server(settings: Any, request: pytest.FixtureRequest) -> Iterator[MailServer]:
    """A mail server that receives the messages. It supports SMTPUTF8 if the test's parameter says so."""
    with mail_server(knows_utf8=getattr(request, "param", False)) as server:
        address = urlsplit(server.url)
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = address.hostname, address.port
        settings.DEFAULT_FROM_EMAIL = "Die Bäckerei <news@shop.example>"
        yield server


@pytest.fixture
def move(db: None) -> Iterator[Move]:
    """Set the clock to noon. Return a function that moves it."""
    with campaign_runs.clock() as move:
        yield move
