"""Endpoints: create, edit, pause and resume them, and stop those that fail. The only writer of ``Endpoint``."""

import secrets
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction

from segments.models import Change, Endpoint, Segment

from . import target_addresses
from .signed_requests import HTTP_GONE, Response
from .target_addresses import InvalidAddress

FORMER_SECRET_VALID_FOR: Final = timedelta(days=1)
MIN_HOLD, MAX_HOLD = timedelta(seconds=5), timedelta(minutes=5)
MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""The longest pause that an endpoint can ask for with Retry-After."""
STOPPED_GONE: Final = "The endpoint responded 410 Gone: it does not exist any more."
STOPPED_FAILING: Final = "No message was delivered for a day."
STOPPED_SECRET_UNREADABLE: Final = (
    "The secret cannot be decrypted because SECRET_KEY was changed. Make a new secret."
)


def create_endpoint(endpoint: Endpoint, segments: Iterable[Segment], at: datetime) -> Endpoint:
    """Save a new endpoint with a secret. It gets the changes from now on.

    Raises ValidationError for a URL that may not be called.
    """
    check_url(endpoint.url)
    endpoint.secret, endpoint.created_at, endpoint.cursor = _new_secret(), at, Change.objects.latest_id()
    with transaction.atomic():
        endpoint.save(force_insert=True)
        endpoint.segments.set(segments)
    return endpoint


def edit_endpoint(endpoint: Endpoint, segments: Iterable[Segment]) -> None:
    """Save the fields that staff edit. Raises ValidationError for a URL that may not be called."""
    if endpoint.url != Endpoint.objects.values_list("url", flat=True).get(pk=endpoint.pk):
        check_url(endpoint.url)
    with transaction.atomic():
        # Only these fields: a worker may have recorded a response meanwhile.
        endpoint.save(update_fields=["name", "url", "every_segment", "without_summaries"])
        endpoint.segments.set(segments)


def check_url(url: str) -> None:
    """Raise ValidationError if the URL may not be called."""
    try:
        target_addresses.resolve_target(target_addresses.parse_target(url))
    except InvalidAddress as error:
        raise ValidationError({"url": f"{str(error)[:1].upper()}{str(error)[1:]}."}) from None


def rotate_secret(endpoint: Endpoint, at: datetime) -> None:
    """Replace the secret. For a day, messages are signed with both, so receivers can change over."""
    endpoint.former_secret, endpoint.secret = endpoint.secret, _new_secret()
    endpoint.former_secret_until = at + FORMER_SECRET_VALID_FOR
    endpoint.save(update_fields=["secret", "former_secret", "former_secret_until"])


def signing_secrets(endpoint: Endpoint, at: datetime) -> Sequence[str]:
    """Return the secrets to sign with, the newest first. Without those that cannot be decrypted."""
    until = endpoint.former_secret_until
    held = [endpoint.secret, endpoint.former_secret] if until and at < until else [endpoint.secret]
    return [secret for secret in held if secret]


def pause_endpoint(endpoint: Endpoint, at: datetime) -> bool:
    """Send nothing until it is resumed. Return whether it was active."""
    return stop_endpoint(endpoint, at, reason="")


def stop_endpoint(endpoint: Endpoint, at: datetime, *, reason: str) -> bool:
    """Send nothing until staff resume it, and record why. Return whether it was active."""
    active = Endpoint.objects.filter(pk=endpoint.pk, is_active=True)
    endpoint.is_active = False
    return bool(active.update(is_active=False, stopped_at=at, stop_reason=reason))


def activate_endpoint(endpoint: Endpoint) -> None:
    """Make an endpoint active, and forget its failures."""
    Endpoint.objects.filter(pk=endpoint.pk).update(
        is_active=True, stopped_at=None, stop_reason="", failures=0, failing_since=None, held_until=None
    )


def set_cursor(endpoint: Endpoint, cursor: int) -> None:
    """Save the id of the last change that the outbox has read for an endpoint."""
    endpoint.cursor = cursor
    endpoint.save(update_fields=["cursor"])


def record_responses(endpoint: Endpoint, responses: Sequence[Response]) -> bool:
    """Count failures of a locked endpoint. Return whether it has just recovered.

    The more an endpoint fails, the less often it gets a request. One that is gone is stopped.
    """
    was_failing = endpoint.is_failing
    before = _failure_state(endpoint)
    for response in responses:
        if not response.problem:
            endpoint.failures, endpoint.failing_since, endpoint.held_until = 0, None, None
            continue
        endpoint.failures += 1
        endpoint.failing_since = endpoint.failing_since or response.at
        if response.retry_after:
            endpoint.held_until = response.at + min(response.retry_after, MAX_RETRY_AFTER)
        elif endpoint.is_failing and not (endpoint.held_until and response.at < endpoint.held_until):
            # Wait for as long as it has been failing. Requests sent before the hold do not extend it.
            now = response.at + response.duration
            endpoint.held_until = now + min(max(now - endpoint.failing_since, MIN_HOLD), MAX_HOLD)
        if response.status == HTTP_GONE:
            stop_endpoint(endpoint, response.at, reason=STOPPED_GONE)
    if before != _failure_state(endpoint):
        endpoint.save(update_fields=["failures", "failing_since", "held_until"])
    return was_failing and not endpoint.is_failing


def _failure_state(endpoint: Endpoint) -> tuple[object, ...]:
    return endpoint.failures, endpoint.failing_since, endpoint.held_until


def _new_secret() -> str:
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
