"""Secrets that the database keeps encrypted, so that a copy of it, or a filter on it, gives nothing away.

The key is derived from ``SECRET_KEY``; values that were encrypted under one of ``SECRET_KEY_FALLBACKS`` can be read,
and ``manage.py rotate_secrets`` encrypts them anew.
"""

from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Any, Final

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models

log = structlog.get_logger(__name__)

KEY_DERIVATION_INFO: Final = b"secrets in the database"
"""What the key is derived for: no other use of ``SECRET_KEY`` has it."""


def encrypt(secret: str) -> str:
    """Encrypt a text under the current key."""
    return _cipher().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Return the text; raises InvalidToken where no key of this installation fits."""
    return _cipher().decrypt(encrypted.encode()).decode()


def rotate(encrypted: str) -> str:
    """Encrypt what is encrypted under any of the keys under the current one; raises InvalidToken as ``decrypt``."""
    return _cipher().rotate(encrypted.encode()).decode()


class EncryptedField(models.TextField):  # type: ignore[type-arg]  # the field takes none when it runs
    """A text that only this installation can read. It can be compared with nothing in the database.

    What cannot be decrypted reads as an empty text, so that pages open and tell so: whoever signs or verifies
    with a secret must refuse an empty one.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt what is stored."""
        if not value:
            return value
        try:
            return decrypt(value)
        except InvalidToken:
            log.error("secret_unreadable", field=f"{self.model._meta.label}.{self.name}")
            return ""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt what is to be stored."""
        return encrypt(str(value)) if value else value

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse every comparison: of encrypted texts it would tell nothing, of others too much."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def get_transform(self, lookup_name: str) -> Any:
        """Refuse every part."""
        return None


def _cipher() -> MultiFernet:
    return _cipher_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _cipher_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=KEY_DERIVATION_INFO).derive(key.encode())
    return urlsafe_b64encode(derived)
