"""Keys of API clients: made, found, edited and revoked. The only writer of ``ApiKey``."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.db.models import Q

from core.db import backends, execution
from core.http import client_ip
from core.models import ApiKey

VISITORS_SCOPE = "visitors:read"
SCOPES = {
    "segments:read": "see segments, their rules and sizes",
    "segments:write": "create, edit, delete and refresh segments",
    "members:read": "see who is in a segment, with contact data",
    "ingest": "send customers, orders and events",
    "privacy": "export and erase a person's data",
    VISITORS_SCOPE: "ask which public segments a visitor is in; for the shop's pages, so it goes with no other scope",
}

SECRET_PREFIX, PUBLIC_PREFIX = "seg_", "pub_"
PREFIX_LENGTH = 12
MAX_NETWORKS = 100
USE_RECORDED_EVERY = timedelta(minutes=1)


def create_key(
    name: str, scopes: Iterable[str], *, expires_at: datetime | None = None, networks: Iterable[str] = ()
) -> tuple[ApiKey, str]:
    """Create a key; give it with its secret, which nobody can show again.

    Raises ValidationError, which names the field, where something will not do.
    """
    key = ApiKey(name=name, scopes=list(scopes), expires_at=expires_at, networks=list(networks))
    return key, issue_key(key)


def issue_key(key: ApiKey) -> str:
    """Save a new key and give its secret, which nobody can show again; raises ValidationError as ``create`` does."""
    # Whoever finds one somewhere sees whether it may lie there: everybody can read what a page holds.
    secret = (PUBLIC_PREFIX if VISITORS_SCOPE in key.scopes else SECRET_PREFIX) + secrets.token_urlsafe(32)
    key.prefix, key.digest = secret[:PREFIX_LENGTH], secret_digest(secret)
    validate_key(key, datetime.now(UTC))
    key.save(force_insert=True)
    return secret


def update_key(key: ApiKey) -> None:
    """Save a key's name, expiry and networks; what it opens stays. Raises ValidationError as ``create`` does."""
    validate_key(key, datetime.now(UTC))
    key.save(update_fields=["name", "expires_at", "networks"])


def validate_key(key: ApiKey, at: datetime) -> None:
    """Put scopes and networks into one spelling, and refuse what will not do; raises ValidationError."""
    wrong = {}
    for name, read in (("scopes", _scopes), ("networks", _networks)):
        try:
            setattr(key, name, read(getattr(key, name)))
        except ValueError as error:
            wrong[name] = str(error)
    if key._state.adding and key.has_expired(at):
        wrong["expires_at"] = "is over already; give a time to come, or none"
    try:
        # What is wrong already is not judged twice.
        key.full_clean(exclude=wrong)
    except ValidationError as error:
        raise ValidationError({**error.error_dict, **wrong}) from None
    if wrong:
        raise ValidationError(wrong)


def _scopes(given: Iterable[str]) -> list[str]:
    wanted, there_are = set(given), f"there are: {', '.join(SCOPES)}"
    if unknown := sorted(wanted - SCOPES.keys()):
        raise ValueError(f"there is no scope {unknown[0]!r} ({there_are})")
    if not wanted:
        raise ValueError(f"a key needs at least one scope ({there_are})")
    if VISITORS_SCOPE in wanted and len(wanted) > 1:
        raise ValueError(
            f"{VISITORS_SCOPE} goes with no other scope: everybody can read a key that pages hold"
        )
    return [scope for scope in SCOPES if scope in wanted]


def _networks(given: Iterable[str]) -> list[str]:
    networks = list(dict.fromkeys(map(client_ip.parse_network, given)))
    if len(networks) > MAX_NETWORKS:
        raise ValueError(f"give at most {MAX_NETWORKS} networks; these are {len(networks)}")
    return networks


def find_key(secret: str) -> ApiKey | None:
    """Find the key that has this secret and is not revoked."""
    # Each request asks this first; written out it takes a third of the time that the ORM needs to compile it.
    found = ApiKey.objects.raw(
        "SELECT * FROM core_apikey WHERE digest = %s AND revoked_at IS NULL", [secret_digest(secret)]
    )
    return next(iter(found), None)


def is_usable(key: ApiKey, at: datetime, address: str | None) -> bool:
    """Tell whether a key may be used at this time, and from this address."""
    return not key.has_expired(at) and (not key.networks or client_ip.in_networks(address, key.networks))


def revoke_key(key: ApiKey) -> None:
    """Let a key open nothing from now on; of a revoked one the moment stays."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
    key.refresh_from_db(fields=["revoked_at"])


def record_use(key: ApiKey, at: datetime) -> None:
    """Keep when a key was last used, to the minute, so that reading does not write at every request."""
    long_ago = at - USE_RECORDED_EVERY
    if key.last_used_at is None or key.last_used_at <= long_ago:
        # Asked again by the statement: of two requests at once one writes.
        outdated = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
        with skip_when_locked():
            ApiKey.objects.filter(outdated, pk=key.pk).update(last_used_at=at)


def secret_digest(secret: str) -> str:
    """Hash a secret, to keep and to find it by."""
    # A fast hash without salt is right here: a secret of 256 random bits is in no dictionary and cannot be
    # tried out, which is what slow hashes of passwords are against; and it can be looked up by an index.
    return hashlib.sha256(secret.encode()).hexdigest()


@contextmanager
def skip_when_locked() -> Iterator[None]:
    """Leave a write undone where SQLite's one writer is busy: a reader does not wait for a long refresh."""
    if backends.is_postgresql():
        yield
        return
    [(patience,)] = execution.fetch_all("PRAGMA busy_timeout")
    execution.execute("PRAGMA busy_timeout = 0")
    try:
        with suppress(OperationalError):
            yield
    finally:
        execution.execute(f"PRAGMA busy_timeout = {patience}")
