"""Sending messages as clients do, through the endpoints, and taking them as the worker does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from django.http import HttpResponse
from django.test import Client

from customers.models import Source
from customers.tracking import inbox, sources

AT = "2026-03-01T10:00:00Z"
_numbers = count()


def source(kind: str = "server", **options: Any) -> tuple[Source, str]:
    return sources.create_source(Source(name=f"A {kind}", kind=kind, **options))


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def post(key: str, call: str, body: Any, headers: Mapping[str, str] = {}, **extra: Any) -> HttpResponse:
    """Post a body, as it is or as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body)
    headers = {**basic(key), **headers} if key else headers
    return Client().post(f"/v1/{call}", data, content_type="application/json", headers=headers, **extra)  # type: ignore[return-value]


def message(kind: str, *, at: str = AT, **fields: Any) -> dict[str, Any]:
    """Make a message; ``user`` and ``anonymous`` are its ids."""
    ids = {"userId": fields.pop("user", None), "anonymousId": fields.pop("anonymous", None)}
    return {"type": kind, "messageId": f"m{next(_numbers)}", "timestamp": at, **ids, **fields}


def track(
    event: str, *, at: str = AT, user: str = "", anonymous: str = "", **properties: Any
) -> dict[str, Any]:
    return message(
        "track", at=at, user=user or None, anonymous=anonymous or None, event=event, properties=properties
    )


def identify(user: str = "", anonymous: str = "", *, at: str = AT, **traits: Any) -> dict[str, Any]:
    return message("identify", at=at, user=user or None, anonymous=anonymous or None, traits=traits)


def send(key: str, *messages: Any, drain: bool = True) -> None:
    """Send messages in one batch, and let them be taken."""
    answer = post(key, "batch", {"batch": messages})
    assert (answer.status_code, json.loads(answer.content)) == (200, {"success": True})
    if drain:
        inbox.drain()


def signed(browser: Source, user: str) -> dict[str, Any]:
    """Make the context of a message as docs/tracking.md says that a shop's server does."""
    return {"userHash": hmac.new(browser.signing_secret.encode(), user.encode(), hashlib.sha256).hexdigest()}
