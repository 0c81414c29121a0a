"""Cleans values for messages, so that no mail program turns a name into a link."""

import re
from typing import Final

from campaigns.links import link_hosts

MAX_NAME_LENGTH: Final = 40
MAX_LINE_LENGTH: Final = 120

# Format characters are invisible, or change the direction of text; between letters of other scripts, two are spelling.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb]|(?<![^\x00-\x7f])[\u200c\u200d]"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]")
_DOT: Final = "[.\u2024\u3002\ufe52\uff0e\uff61]"
# The start of the last label of a domain: two letters, the second of which may be a mark (भारत), or letters in circles.
_LETTERS: Final = "(?:[^\\W\\d_]|[\u24b6-\u24e9])(?:[^\\W\\d_]|[^\x00-\xbf\\s\u2000-\u206f\u3000-\u303f])"
_ADDRESS: Final = re.compile(rf"(?:[a-z][a-z0-9+.\-]*:)?[/\\]{{2}}\S*|(?<!\w)www{_DOT}\S*", re.IGNORECASE)
_SCHEME: Final = re.compile(
    r"\b(https?|ftp|mailto|tel|sms|callto|facetime|skype|javascript|data|vbscript):(?=\S)", re.IGNORECASE
)
# A dot before two letters begins the last label of what programs take for a domain; 2.5 and 10.30am are no domains.
_DOMAIN: Final = re.compile(rf"(?<=\S){_DOT}(?={_LETTERS})")
_MARKUP: Final = re.compile(r"<[a-z/!?][^<>]*>", re.IGNORECASE)
_LINK_PART: Final = re.compile(rf"[:/\\]{{2}}|@|(?<=\S){_DOT}(?={_LETTERS})", re.IGNORECASE)


def safe_text(value: str) -> str:
    """Return a value without URLs, and with a space after each dot of a domain.

    A value that is only the URL of a page of the shop is kept.
    """
    whole = value.strip()
    if link_hosts.shop_url(whole) == whole:
        return whole
    seen = _CONTROL.sub(" ", _INVISIBLE.sub("", value))
    kept = _ADDRESS.sub("", seen)
    while kept != seen:  # removing a URL can form another one
        seen, kept = kept, _ADDRESS.sub("", kept)
    return _SCHEME.sub(r"\1: ", _DOMAIN.sub(lambda dot: f"{dot[0]} ", kept)).strip()


def safe_line(value: str, max_length: int = MAX_LINE_LENGTH) -> str:
    """Return a value as one line of limited length, without URLs."""
    whole = safe_text(value)
    if whole and whole == link_hosts.shop_url(whole):  # a URL is no title
        return ""
    return _cut(" ".join(whole.split()), max_length)


def safe_name(value: str) -> str:
    """Return a personal name of at most 40 characters, without markup; empty if it contains a URL or a domain."""
    seen = " ".join(_MARKUP.sub(" ", _CONTROL.sub(" ", _INVISIBLE.sub("", value))).split())
    return "" if _LINK_PART.search(seen) or _SCHEME.search(seen) else _cut(seen, MAX_NAME_LENGTH)


def _cut(text: str, max_length: int) -> str:
    """Cut a text, at the end of a word if possible."""
    if len(text) <= max_length:
        return text
    cut = text[: max_length + 1]
    return (cut.rsplit(None, 1)[0] if " " in cut else cut[:max_length]).rstrip()
