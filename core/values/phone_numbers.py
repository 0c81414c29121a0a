"""Phone numbers: parsed as people write them, normalized to E.164."""

import re
from functools import lru_cache
from typing import Final

import phonenumbers

from .text_cleaning import clean_text

MAX_PHONE_LENGTH: Final = 40
MAX_WRITTEN_LENGTH: Final = 100
"""With an extension."""


_EXTENSION: Final = re.compile(
    r"[\s,;(]*(?:ext(?:ension|n)?|[x#]|durchwahl|dw|poste|anexo|int(?:erno)?|доб)(?:\s*[.:=#]\s*|\s*)\d{1,11}\)?$",
    re.IGNORECASE,
)
_PHONE: Final = re.compile(r"\+?[\d\s()./\-]{4,39}", re.ASCII)
_SEPARATORS: Final = str.maketrans("", "", " ().-/")
# Numbers that the library would return unchanged; matching them here is faster.
_AS_IT_IS: Final = re.compile(
    r"\+(?:1[2-9]\d{9}|49[1-9]\d{8,9}|33[1-79]\d{8}|44[1-357-9]\d{9}|43[1-9]\d{8,9}|41[2-9]\d{8}|31[1-9]\d{8})",
    re.ASCII,
)


def normalize_phone(text: str, country: str = "") -> str:
    """Return a number in E.164 if its country is known, else as it was written, without an extension.

    ``country`` is a two-letter code for numbers without ``+``. Raises ValueError if the text is not a number.
    """
    cleaned = clean_text(text)
    # The search for an extension takes quadratic time.
    number = (
        _EXTENSION.sub("", cleaned.removeprefix("tel:").strip()) if len(cleaned) <= MAX_WRITTEN_LENGTH else ""
    )
    if not _PHONE.fullmatch(number):
        raise ValueError(f"{text!r} is not a phone number; write it as +49 30 123456")
    return to_e164(number, country) or number


def normalize_phone_prefix(text: str) -> str:
    """Return the beginning of a number as in E.164, to search for stored numbers."""
    compact = clean_text(text).translate(_SEPARATORS)
    return f"+{compact[2:]}" if compact.startswith("00") else compact


def to_e164(phone: str, country: str = "") -> str | None:
    """Return a number in E.164, or None if its country is unknown or it is not a number."""
    if "(0" not in phone:
        compact = phone.translate(_SEPARATORS)
        if _AS_IT_IS.fullmatch(compact):
            return compact
    return _parse(phone, country.upper() if len(country) == 2 and country.isascii() else None)


@lru_cache(maxsize=4096)
def _parse(phone: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
