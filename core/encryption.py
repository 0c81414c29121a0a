"""Encryption of secrets in the database, so that neither a copy of it nor a filter reveals them.

The key is derived from ``SECRET_KEY``. Values that were encrypted with one of ``SECRET_KEY_FALLBACKS`` can be read.
``manage.py rotate_secrets`` encrypts them with the current key.
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
"""HKDF info: it sets this key apart from every other key that is derived from ``SECRET_KEY``."""


def encrypt(secret: str) -> str:
    return _cipher().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Decrypt a text. Raises InvalidToken if no key of this installation fits."""
    return _cipher().decrypt(encrypted.encode()).decode()


def rotate(encrypted: str) -> str:
    """Encrypt a secret again with the current key. Raises InvalidToken as ``decrypt`` does."""
    return _cipher().rotate(encrypted.encode()).decode()


class EncryptedField(models.TextField):  # type: ignore[type-arg]  # the field takes none when it runs
    """An encrypted text. The database cannot compare it.

    A value that cannot be decrypted is read as an empty text, so that pages can show the problem. Code that signs or
    verifies with a secret must refuse an empty one.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if not value:
            return value
        try:
            return decrypt(value)
        except InvalidToken:
            log.error("secret_unreadable", field=f"{self.model._meta.label}.{self.name}")
            return ""

    def get_prep_value(self, value: Any) -> Any:
        return encrypt(str(value)) if value else value

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse every lookup but ``isnull``: comparing encrypted texts is meaningless."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def get_transform(self, lookup_name: str) -> Any:
        return None


def _cipher() -> MultiFernet:
    return _cipher_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _cipher_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=KEY_DERIVATION_INFO).derive(key.encode())
    return urlsafe_b64encode(derived)
