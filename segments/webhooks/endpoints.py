"""Endpoints: made, edited, paused, and stopped where they take nothing. The only writer of ``Endpoint``."""

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
SHORTEST_HOLD, LONGEST_HOLD = timedelta(seconds=5), timedelta(minutes=5)
MAX_RETRY_AFTER: Final = timedelta(hours=1)
"""How long an endpoint can ask to be left alone, by Retry-After."""
STOPPED_GONE: Final = "It answered 410 Gone: it is not there any more."
STOPPED_FAILING: Final = "It has taken nothing for a day."
STOPPED_SECRET_UNREADABLE: Final = (
    "Its secret cannot be decrypted, since SECRET_KEY was changed: make a new one."
)


def create_endpoint(endpoint: Endpoint, segments: Iterable[Segment], at: datetime) -> Endpoint:
    """Save a new endpoint with a secret; it is told of what changes from now on.

    Raises ValidationError where something will not do.
    """
    check_url(endpoint.url)
    endpoint.secret, endpoint.created_at, endpoint.position = _new_secret(), at, latest_change_id()
    with transaction.atomic():
        endpoint.save(force_insert=True)
        endpoint.segments.set(segments)
    return endpoint


def edit_endpoint(endpoint: Endpoint, segments: Iterable[Segment]) -> None:
    """Save what staff decide of an endpoint; raises ValidationError where something will not do."""
    if endpoint.url != Endpoint.objects.values_list("url", flat=True).get(pk=endpoint.pk):
        check_url(endpoint.url)
    with transaction.atomic():
        # What is noted of its answers meanwhile is not overwritten.
        endpoint.save(update_fields=["name", "url", "every_segment", "wants_singles"])
        endpoint.segments.set(segments)


def check_url(url: str) -> None:
    """Raise ValidationError where an address, as things are now, may not be called."""
    try:
        target_addresses.resolve_target(target_addresses.parse_target(url))
    except InvalidAddress as error:
        raise ValidationError({"url": f"{str(error)[:1].upper()}{str(error)[1:]}."}) from None


def rotate_secret(endpoint: Endpoint, at: datetime) -> None:
    """Give it a new secret; for a day messages are signed with both, so that receivers miss none."""
    endpoint.former_secret, endpoint.secret = endpoint.secret, _new_secret()
    endpoint.former_secret_until = at + FORMER_SECRET_VALID_FOR
    endpoint.save(update_fields=["secret", "former_secret", "former_secret_until"])


def signing_secrets(endpoint: Endpoint, at: datetime) -> Sequence[str]:
    """Return the secrets to sign with, the newest first; none where they cannot be decrypted."""
    until = endpoint.former_secret_until
    held = [endpoint.secret, endpoint.former_secret] if until and at < until else [endpoint.secret]
    return [secret for secret in held if secret]


def pause_endpoint(endpoint: Endpoint, at: datetime) -> bool:
    """Send it nothing until it is resumed; tell whether it was active."""
    return stop_endpoint(endpoint, at, because="")


def stop_endpoint(endpoint: Endpoint, at: datetime, *, because: str) -> bool:
    """Send it nothing until somebody of the staff resumes it, and say why; tell whether it was active."""
    active = Endpoint.objects.filter(pk=endpoint.pk, is_active=True)
    endpoint.is_active = False
    return bool(active.update(is_active=False, stopped_at=at, stopped_because=because))


def activate_endpoint(endpoint: Endpoint) -> None:
    """Let it be told again, as if it had never failed."""
    Endpoint.objects.filter(pk=endpoint.pk).update(
        is_active=True, stopped_at=None, stopped_because="", failures=0, failing_since=None, held_until=None
    )


def set_position(endpoint: Endpoint, position: int) -> None:
    """Note up to which change the endpoint's messages are written; called by the outbox."""
    endpoint.position = position
    endpoint.save(update_fields=["position"])


def record_responses(endpoint: Endpoint, answers: Sequence[Response]) -> bool:
    """Note what an endpoint, locked, answered; tell whether it has just come back to itself.

    One that takes nothing is asked ever more rarely; one that is gone is stopped.
    """
    was_failing = endpoint.is_failing
    before = _failure_state(endpoint)
    for answer in answers:
        if not answer.problem:
            endpoint.failures, endpoint.failing_since, endpoint.held_until = 0, None, None
            continue
        endpoint.failures += 1
        endpoint.failing_since = endpoint.failing_since or answer.at
        if answer.retry_after:
            endpoint.held_until = answer.at + min(answer.retry_after, MAX_RETRY_AFTER)
        elif endpoint.is_failing and not (endpoint.held_until and answer.at < endpoint.held_until):
            # As long again as it has failed by now; those that were on their way already tell nothing new.
            now = answer.at + answer.took
            endpoint.held_until = now + min(max(now - endpoint.failing_since, SHORTEST_HOLD), LONGEST_HOLD)
        if answer.status == HTTP_GONE:
            stop_endpoint(endpoint, answer.at, because=STOPPED_GONE)
    if before != _failure_state(endpoint):
        endpoint.save(update_fields=["failures", "failing_since", "held_until"])
    return was_failing and not endpoint.is_failing


def latest_change_id() -> int:
    """Give the id of the newest change of all segments; those to come are higher, as one writes at a time."""
    return Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _failure_state(endpoint: Endpoint) -> tuple[object, ...]:
    return endpoint.failures, endpoint.failing_since, endpoint.held_until


def _new_secret() -> str:
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
