"""API keys: create, find, edit, revoke. The only writer of ``ApiKey``."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.db.models import Q

from core.db import backends, dialect, execution
from core.http import client_ip
from core.models import ApiKey

VISITORS_SCOPE = "visitors:read"
SCOPES = {
    "segments:read": "see segments, their rules and sizes",
    "segments:write": "create, edit, delete and refresh segments",
    "members:read": "see the members of segments, with contact data",
    "ingest": "send customers, orders and events",
    "privacy": "export and erase a person's data",
    VISITORS_SCOPE: "see the public segments of a visitor; for web pages, so it cannot be combined with other scopes",
}

SECRET_PREFIX, PUBLIC_PREFIX = "seg_", "pub_"
PREFIX_LENGTH = 12
MAX_NETWORKS = 100
USE_RECORDED_EVERY = timedelta(minutes=1)

_COLUMNS = [field.attname for field in ApiKey._meta.concrete_fields]
_FIND_KEY = f"SELECT {', '.join(_COLUMNS)} FROM core_apikey WHERE digest = %s AND revoked_at IS NULL"
_JSON_PLACES = [_COLUMNS.index(name) for name in ("scopes", "networks")]
_INSTANT_PLACES = [_COLUMNS.index(name) for name in _COLUMNS if name.endswith("_at")]


def create_key(
    name: str, scopes: Iterable[str], *, expires_at: datetime | None = None, networks: Iterable[str] = ()
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which cannot be shown again.

    Raises ValidationError, by field, for invalid values.
    """
    key = ApiKey(name=name, scopes=list(scopes), expires_at=expires_at, networks=list(networks))
    return key, issue_key(key)


def issue_key(key: ApiKey) -> str:
    """Save a new key and return its secret, which cannot be shown again. Raises ValidationError."""
    # The prefix shows whether a key may be public: everybody can read the keys of web pages.
    secret = (PUBLIC_PREFIX if VISITORS_SCOPE in key.scopes else SECRET_PREFIX) + secrets.token_urlsafe(32)
    key.prefix, key.digest = secret[:PREFIX_LENGTH], secret_digest(secret)
    validate_key(key, datetime.now(UTC))
    key.save(force_insert=True)
    return secret


def update_key(key: ApiKey) -> None:
    """Save a key's name, expiry and networks. The scopes never change. Raises ValidationError."""
    validate_key(key, datetime.now(UTC))
    key.save(update_fields=["name", "expires_at", "networks"])


def validate_key(key: ApiKey, at: datetime) -> None:
    """Normalize scopes and networks, and validate the key. Raises ValidationError."""
    wrong = {}
    for name, read in (("scopes", _scopes), ("networks", _networks)):
        try:
            setattr(key, name, read(getattr(key, name)))
        except ValueError as error:
            wrong[name] = str(error)
    if key._state.adding and key.has_expired(at):
        wrong["expires_at"] = "is in the past; choose a later time, or leave it empty"
    try:
        key.full_clean(exclude=wrong)
    except ValidationError as error:
        raise ValidationError({**error.error_dict, **wrong}) from None
    if wrong:
        raise ValidationError(wrong)


def _scopes(given: Iterable[str]) -> list[str]:
    wanted, known = set(given), f"the scopes are: {', '.join(SCOPES)}"
    if unknown := sorted(wanted - SCOPES.keys()):
        raise ValueError(f"there is no scope {unknown[0]!r} ({known})")
    if not wanted:
        raise ValueError(f"a key needs at least one scope ({known})")
    if VISITORS_SCOPE in wanted and len(wanted) > 1:
        raise ValueError(
            f"{VISITORS_SCOPE} cannot be combined with other scopes: everybody can read the keys of web pages"
        )
    return [scope for scope in SCOPES if scope in wanted]


def _networks(given: Iterable[str]) -> list[str]:
    networks = list(dict.fromkeys(map(client_ip.parse_network, given)))
    if len(networks) > MAX_NETWORKS:
        raise ValueError(f"at most {MAX_NETWORKS} networks are allowed; these are {len(networks)}")
    return networks


def find_key(secret: str) -> ApiKey | None:
    """Return the key with this secret unless it is revoked."""
    # Every request runs this query. The ORM takes several times as long.
    rows = execution.fetch_all(_FIND_KEY, [secret_digest(secret)])
    return _key_from_row(rows[0]) if rows else None


def _key_from_row(row: execution.Row) -> ApiKey:
    columns = list(row)
    for place in _JSON_PLACES:
        columns[place] = json.loads(columns[place])
    for place in _INSTANT_PLACES:
        columns[place] = columns[place] and dialect.datetime_from_row(columns[place])
    return ApiKey.from_db(connection.alias, _COLUMNS, columns)


def is_usable(key: ApiKey, at: datetime, address: str | None) -> bool:
    """Return whether a key may be used at this time and from this address."""
    return not key.has_expired(at) and (not key.networks or client_ip.in_networks(address, key.networks))


def revoke_key(key: ApiKey) -> None:
    """Revoke a key. If it is revoked already, its time of revocation stays."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
    key.refresh_from_db(fields=["revoked_at"])


def record_use(key: ApiKey, at: datetime) -> None:
    """Store when a key was last used, at most once a minute, so that not every request writes."""
    long_ago = at - USE_RECORDED_EVERY
    if key.last_used_at is None or key.last_used_at <= long_ago:
        # The statement checks again, so that only one of two concurrent requests writes.
        outdated = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
        with skip_when_locked():
            ApiKey.objects.filter(outdated, pk=key.pk).update(last_used_at=at)


def secret_digest(secret: str) -> str:
    """Return the hash by which a key is stored and found."""
    # A fast hash without salt is enough: 256 random bits cannot be guessed, and the hash can be indexed.
    return hashlib.sha256(secret.encode()).hexdigest()


@contextmanager
def skip_when_locked() -> Iterator[None]:
    """Skip the block's write if SQLite is locked, so that a reader does not wait for a long refresh."""
    if backends.is_postgresql():
        yield
        return
    [(timeout,)] = execution.fetch_all("PRAGMA busy_timeout")
    execution.execute("PRAGMA busy_timeout = 0")
    try:
        with suppress(OperationalError):
            yield
    finally:
        execution.execute(f"PRAGMA busy_timeout = {timeout}")
