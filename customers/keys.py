"""Keys of API clients: made, found and revoked. The only writer of ``ApiKey``."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from django.db import OperationalError
from django.db.models import Q

from . import engine
from .models import ApiKey

SCOPES = {
    "segments:read": "see segments, their rules and sizes",
    "segments:write": "create, edit, delete and refresh segments",
    "members:read": "see who is in a segment, with contact data",
    "ingest": "send customers, orders and events",
    "privacy": "export and erase a person's data",
}

PREFIX_LENGTH = 12
USE_IS_KEPT_EVERY = timedelta(minutes=1)


class BadScopes(ValueError):
    """Scopes a key cannot have; the message names those there are."""


def create(name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """Create a key; give it with its secret, which nobody can show again.

    Raises BadScopes where a scope is unknown or none is given, ValidationError where the name will not do.
    """
    wanted = set(scopes)
    there_are = f"there are: {', '.join(SCOPES)}"
    if unknown := sorted(wanted - SCOPES.keys()):
        raise BadScopes(f"there is no scope {unknown[0]!r} ({there_are})")
    if not wanted:
        raise BadScopes(f"a key needs at least one scope ({there_are})")
    secret = f"seg_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        name=name,
        prefix=secret[:PREFIX_LENGTH],
        digest=digest(secret),
        scopes=[scope for scope in SCOPES if scope in wanted],
    )
    key.full_clean()
    key.save()
    return key, secret


def find(secret: str) -> ApiKey | None:
    """Find the key that has this secret and is not revoked."""
    return ApiKey.objects.filter(digest=digest(secret), revoked_at=None).first()


def revoke(key: ApiKey) -> None:
    """Let a key open nothing from now on; of a revoked one the moment stays."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
    key.refresh_from_db(fields=["revoked_at"])


def note_use(key: ApiKey, at: datetime) -> None:
    """Keep when a key was last used, to the minute, so that reading does not write at every request."""
    long_ago = at - USE_IS_KEPT_EVERY
    if key.last_used_at is None or key.last_used_at <= long_ago:
        # Asked again by the statement: of two requests at once one writes.
        outdated = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
        with without_waiting():
            ApiKey.objects.filter(outdated, pk=key.pk).update(last_used_at=at)


def digest(secret: str) -> str:
    """Hash a secret, to keep and to find it by."""
    # A fast hash without salt is right here: a secret of 256 random bits is in no dictionary and cannot be
    # tried out, which is what slow hashes of passwords are against; and it can be looked up by an index.
    return hashlib.sha256(secret.encode()).hexdigest()


@contextmanager
def without_waiting() -> Iterator[None]:
    """Leave a write undone where SQLite's one writer is busy: a reader does not wait for a long refresh."""
    if engine.is_postgresql():
        yield
        return
    [(patience,)] = engine.rows("PRAGMA busy_timeout")
    engine.execute("PRAGMA busy_timeout = 0")
    try:
        with suppress(OperationalError):
            yield
    finally:
        engine.execute(f"PRAGMA busy_timeout = {patience}")
