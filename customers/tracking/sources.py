"""Sources of messages and their write keys: create, find, revoke. The form of the admin saves changed settings."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from unicodedata import normalize

from django.db.models import F, Q

from core.api import keys
from customers.models import Source

USE_RECORDED_EVERY = timedelta(minutes=1)


def create_source(source: Source) -> tuple[Source, str]:
    """Save a new source with a key. Return both; the key is not stored and cannot be shown again.

    Raises ValidationError if a field is invalid.
    """
    key = _new_key(source)
    source.signing_secret = secrets.token_hex(32)
    source.full_clean()
    source.save(force_insert=True)
    return source, key


def rotate_key(source: Source) -> str:
    """Replace the key of a source, and return the new one; it cannot be shown again. The former key stops working."""
    key = _new_key(source)
    source.save(update_fields=["prefix", "digest"])
    return key


def find_by_key(key: str) -> Source | None:
    """Return the source with this key, or None if there is none or it is revoked."""
    return Source.objects.filter(digest=keys.secret_digest(key), revoked_at=None).first()


def revoke_source(source: Source) -> None:
    """Revoke the key of a source. A source that is revoked already keeps its time."""
    Source.objects.filter(pk=source.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))


def record_use(source: Source, at: datetime) -> None:
    """Record when a key was last used, to the minute."""
    long_ago = at - USE_RECORDED_EVERY
    if source.last_used_at is None or source.last_used_at <= long_ago:
        outdated = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
        with keys.skip_when_locked():
            Source.objects.filter(outdated, pk=source.pk).update(last_used_at=at)


def count_bots(source_id: int, messages: int) -> None:
    Source.objects.filter(pk=source_id).update(bots=F("bots") + messages)


def is_signature_valid(source: Source, user_id: str, signature: object) -> bool:
    """Return whether the shop's server has signed a userId: HMAC-SHA256 with the source's secret, in hexadecimal."""
    if not source.signing_secret:  # it cannot be decrypted: anybody could sign with an empty one
        return False
    if not isinstance(signature, str):
        return False
    # Ids are stored in NFC; the shop signs them in its own spelling.
    spellings = {user_id, normalize("NFD", user_id)}
    return any(
        hmac.compare_digest(_signature(source, one).encode(), signature.lower().encode(errors="replace"))
        for one in spellings
    )


def _signature(source: Source, user_id: str) -> str:
    return hmac.new(source.signing_secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()


def _new_key(source: Source) -> str:
    key = f"wk_{secrets.token_urlsafe(24)}"
    source.prefix, source.digest = key[: keys.PREFIX_LENGTH], keys.secret_digest(key)
    return key
