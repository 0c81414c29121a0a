"""The ids that the messages of a request name, as hashes, by which a drain finds requests that must wait for others.

Two messages about one id always have a hash in common. Different ids may have the same hash: then a request waits
without need. So texts are reduced further than where messages are interpreted.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final
from zlib import crc32

from core.values import email_addresses
from core.values.text_cleaning import clean_text, to_nfc

from .messages import BATCH, object_or_empty

_HASH_BYTES: Final = 4
_IDS: Final = (("u", "userId"), ("a", "anonymousId"), ("a", "previousId"), ("m", "messageId"))
_ORDER_IDS: Final = ("order_id", "orderId")
# NFC takes quadratic time, and leaves at least a third of a text: a longer one is no id.
_MAX_LENGTH: Final = 1_000
_PHONE_DIGITS: Final = 6  # at the end of a number, however its beginning is written
_EXTENSION: Final = re.compile(r"[^\d\s()./+\-].*", re.DOTALL)
_NOT_A_DIGIT: Final = re.compile(r"\D")


def hash_named_ids(content: Mapping[str, Any], call: str) -> bytes:
    """Return the hashes of the ids in the decoded body of a request."""
    named: set[str] = set()
    for body in content[BATCH] if call == BATCH else (content,):
        if isinstance(body, dict):
            named.update(_named_ids(body))
    hashes = sorted({crc32(one.encode(errors="replace")) for one in named})
    return struct.pack(f"<{len(hashes)}I", *hashes)


def read_hashes(packed: bytes | memoryview) -> set[int]:
    """Return the hashes that ``hash_named_ids`` packed."""
    return set(struct.unpack(f"<{len(packed) // _HASH_BYTES}I", packed))


def _named_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Return the ids, each after a letter for its kind. A message without an id of its own has one derived from its
    content, so it names the same other ids as its copies.
    """
    for kind, name in _IDS:
        if (value := body.get(name)) is not None and (text := _reduced(value)):
            yield kind + text
    properties = body.get("properties")
    if properties and isinstance(properties, dict):
        for name in _ORDER_IDS:
            if (value := properties.get(name)) is not None:
                yield "o" + _reduced(value)
    for traits in (body.get("traits"), object_or_empty(body.get("context")).get("traits")):
        if traits and isinstance(traits, dict):
            yield from _named_addresses(traits)


def _named_addresses(traits: Mapping[str, Any]) -> Iterator[str]:
    email, phone = traits.get("email"), traits.get("phone")
    if isinstance(email, str) and (address := _reduced_email(email)):
        yield "e" + address
    if isinstance(phone, str) and phone:
        yield "p" + _reduced_phone(phone)
    elif isinstance(phone, int):
        yield "p" + _reduced_phone(str(phone))
    elif isinstance(phone, float):
        yield "p" + _reduced_phone(f"{phone:.0f}")


def _reduced(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    if text.isascii():
        return text.strip()
    text = clean_text(text)
    return to_nfc(text) if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH]


def _reduced_email(text: str) -> str:
    try:
        return email_addresses.fold_email(email_addresses.normalize_email(text))
    except email_addresses.InvalidEmail:
        return ""


def _reduced_phone(text: str) -> str:
    digits = _NOT_A_DIGIT.sub("", _EXTENSION.sub("", clean_text(text).removeprefix("tel:")))
    return digits[-_PHONE_DIGITS:]
