"""Text cleaning: NFC, no invisible characters, plain spaces and hyphens."""

import re
import unicodedata
from typing import Final

# Zero-width spaces and joiners, direction marks and isolates, the soft hyphen, the byte order mark, variation
# selectors, and other format characters that come from copying out of web pages and spreadsheets.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f\U000e0100-\U000e01ef]"
)
_SPACES: Final = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_LONG: Final = 1_024
_MOST_MARKS: Final = 64
_HYPHENS: Final = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")


def strip_invisible(text: str) -> str:
    return text if text.isascii() else _INVISIBLE.sub("", text)


def clean_text(text: str) -> str:
    """Return a text without invisible characters, with plain spaces and hyphens.

    For numbers, dates, addresses and codes. Not for names, which may need joiners and dashes.
    """
    if not text.isascii():
        text = _HYPHENS.sub("-", _SPACES.sub(" ", _INVISIBLE.sub("", text)))
    return text.strip()


def to_nfc(text: str) -> str:
    """Normalize a text to NFC, in which ``ö`` is a single character.

    A long text with more marks on one letter than any language has stays as it is: sorting them takes quadratic time.
    """
    if text.isascii() or (len(text) > _LONG and _has_many_marks(text)):
        return text
    return unicodedata.normalize("NFC", text)


def _has_many_marks(text: str) -> bool:
    if not any(map(unicodedata.combining, set(text))):
        return False
    run = 0
    for order in map(unicodedata.combining, text):
        run = run + 1 if order else 0
        if run > _MOST_MARKS:
            return True
    return False
