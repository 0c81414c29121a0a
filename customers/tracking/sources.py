"""Sources of messages and their write keys: made, found and revoked. The only writer of ``Source``."""

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
    """Save a new source with a key, which nobody can show again; give both.

    Raises ValidationError where the name or another field will not do.
    """
    key = _new_key(source)
    source.signing_secret = secrets.token_hex(32)
    source.full_clean()
    source.save(force_insert=True)
    return source, key


def rotate_key(source: Source) -> str:
    """Give a source another key, which nobody can show again; the former opens nothing from now on."""
    key = _new_key(source)
    source.save(update_fields=["prefix", "digest"])
    return key


def find_by_key(key: str) -> Source | None:
    """Find the source that has this key, unless it is revoked."""
    return Source.objects.filter(digest=keys.secret_digest(key), revoked_at=None).first()


def revoke_source(source: Source) -> None:
    """Let a key open nothing from now on; of a revoked one the moment stays."""
    Source.objects.filter(pk=source.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))


def record_use(source: Source, at: datetime) -> None:
    """Keep when a key was last used, to the minute."""
    long_ago = at - USE_RECORDED_EVERY
    if source.last_used_at is None or source.last_used_at <= long_ago:
        outdated = Q(last_used_at=None) | Q(last_used_at__lte=long_ago)
        with keys.skip_when_locked():
            Source.objects.filter(outdated, pk=source.pk).update(last_used_at=at)


def count_bots(source_id: int, messages: int) -> None:
    """Count messages that were left out since a bot had sent them."""
    Source.objects.filter(pk=source_id).update(bots=F("bots") + messages)


def is_signature_valid(source: Source, user_id: str, signature: object) -> bool:
    """Tell whether the shop's server has signed a userId: HMAC-SHA256 with the source's secret, in hexadecimal."""
    if not source.signing_secret:  # it cannot be decrypted: anybody could sign with an empty one
        return False
    if not isinstance(signature, str):
        return False
    # We keep ids in NFC; the shop signs them as it writes them.
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
