"""E-mail addresses: normalization, and the keys by which addresses are compared."""

import re
from functools import lru_cache
from typing import Final

import idna

from .text_cleaning import strip_invisible, to_nfc

MAX_EMAIL_LENGTH: Final = 254
GMAIL_DOMAINS: Final = ("gmail.com", "googlemail.com")

_SHAPE: Final = re.compile(r"[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]{1,189}")
_ASCII_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_SPECIAL: Final = re.compile(
    r"[()\[\]:\\]"
)  # a comment in parentheses is not part of the address, but mail would reach it
_UNBREAKABLE: Final = re.compile(
    "[\u00a0\u2007\u202f\u2800]"
)  # spaces that web pages and spreadsheets insert


class InvalidEmail(ValueError):
    """The text is not an e-mail address. The message says why."""


def normalize_email(text: str) -> str:
    """Return the normalized address, or an empty text for an empty one. Raises InvalidEmail.

    Invisible characters are removed. The address is in lower case and NFC. The domain is in ASCII by IDNA 2008
    (non-transitional UTS 46), so that every program sends to the same host. The local part keeps its script.
    """
    visible = _UNBREAKABLE.sub("", strip_invisible(text)).strip()
    if not visible:
        return ""
    if not _SHAPE.fullmatch(visible):
        raise InvalidEmail(f"{text!r} is not an e-mail address")
    lowered = to_nfc(visible.lower())
    if len(lowered) > MAX_EMAIL_LENGTH:
        raise InvalidEmail(f"longer than {MAX_EMAIL_LENGTH} characters")
    if not lowered.isprintable():
        raise InvalidEmail(f"{text!r} is not an e-mail address: it contains a control character")
    local, _, domain = lowered.rpartition("@")
    if special := _SPECIAL.search(local):
        raise InvalidEmail(f"{text!r} is not an e-mail address: it contains {special[0]!r}")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise InvalidEmail(
            f"{text!r} is not an e-mail address: a dot must stand between two other characters"
        )
    address = f"{local}@{_ascii_domain(domain, text)}"
    if len(address) > MAX_EMAIL_LENGTH:
        raise InvalidEmail(f"longer than {MAX_EMAIL_LENGTH} characters")
    return address


def fold_email(address: str) -> str:
    """Return the case-folded NFC of a normalized address.

    Addresses with the same folded form share consent, suppression and the frequency cap.
    """
    if address.isascii():
        return address.lower()
    return to_nfc(to_nfc(address).casefold())


def mailbox_key(address: str) -> str:
    """Return a key for the mailbox that an address most likely leads to.

    Most mail servers ignore a tag after a plus, and Gmail ignores dots.
    """
    local, _, domain = fold_email(address).rpartition("@")
    local = local.partition("+")[0] or local
    if domain in GMAIL_DOMAINS:
        local, domain = local.replace(".", ""), GMAIL_DOMAINS[0]
    return f"{local}@{domain}"


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str, text: str) -> str:
    domain = domain.removesuffix(".")
    if domain.isascii():
        labels = domain.split(".")
        if len(domain) <= 253 and all(map(_ASCII_LABEL.fullmatch, labels)):
            return domain
    else:
        try:
            return idna.encode(domain, uts46=True, transitional=False).decode().removesuffix(".")
        except (idna.IDNAError, UnicodeError):
            pass
    raise InvalidEmail(f"{text!r} is not an e-mail address: its domain is not valid")
