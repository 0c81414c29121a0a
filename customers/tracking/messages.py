"""Messages of SDKs: parsing and checking the fields that all types have in common."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from core.values.regexes import FIRST_YEAR, LAST_YEAR
from core.values.text_cleaning import to_nfc
from customers.models.customer import ANONYMOUS_PREFIX
from customers.rows.cells import MAX_TEXT, InvalidRow, check_id
from customers.rows.settings import ShopSettings

MAX_MESSAGE_BYTES: Final = 32 * 1024
TOO_DEEP: Final = "the message is nested too deeply"
MAX_NETWORK_DELAY: Final = timedelta(seconds=10)
MAX_SENT_AT_DISTANCE: Final = timedelta(days=1)
BATCH: Final = "batch"
TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
CALLS: Final = {
    **{name: name for name in (*TYPES, BATCH)},
    "import": BATCH,
    **dict(zip("itpsgab", ("identify", "track", "page", "screen", "group", "alias", BATCH), strict=True)),
}
"""The last part of an endpoint's path, and the type of message that is sent to it."""

MAX_UNIX_SECONDS: Final = 1e11
"""Larger numbers are milliseconds since 1970; numbers up to it are seconds."""

_FRACTION = re.compile(r"\.(\d{6})\d+")
_PLAIN_ID = re.compile(r"[\w.:@|=/-]*", re.ASCII)  # the usual ids, which need no further check
_encode = json.JSONEncoder(ensure_ascii=False).encode  # created once, since it is called for each message


class TrackedMessage(NamedTuple):
    """One message. ``at`` is corrected by the sender's clock, and not later than ``received_at``.

    ``body`` is as it was sent. ``problems`` name the optional values that are invalid.
    """

    type: str
    message_id: str
    at: datetime
    user_id: str
    anonymous_id: str
    body: Mapping[str, Any]
    received_at: datetime
    problems: tuple[str, ...] = ()

    @property
    def context(self) -> Mapping[str, Any]:
        """Return the context, or an empty one if it is not an object."""
        return object_or_empty(self.body.get("context"))


def parse_message(
    body: Any, call: str, received_at: datetime, sent_at: Any, shop: ShopSettings
) -> TrackedMessage:
    """Parse a message of a batch, or a single one that was sent to the endpoint of its type.

    Raises InvalidRow, which says what to change.
    """
    if not isinstance(body, dict):
        raise InvalidRow("a message is a JSON object")
    kind = call if call != BATCH else body.get("type")
    if kind not in TYPES:
        raise InvalidRow(f"type: {_excerpt(kind)} is not one of {', '.join(TYPES)}")
    problems: list[str] = []
    user_id = _parse_id(body, "userId")
    anonymous_id = (
        _parse_optional_id(body, "anonymousId", problems) if user_id else _parse_id(body, "anonymousId")
    )
    if user_id.startswith(ANONYMOUS_PREFIX):
        raise InvalidRow(f"userId: starts with {ANONYMOUS_PREFIX}, which is reserved for visitors")
    if not user_id and not anonymous_id:
        raise InvalidRow("userId: missing, and so is anonymousId; send at least one of them")
    if kind == "track":
        _check_event(body.get("event"))
    if kind == "alias" and not (_parse_id(body, "previousId") and user_id):
        raise InvalidRow("previousId and userId: an alias needs both")
    return TrackedMessage(
        kind,
        _parse_optional_id(body, "messageId", problems) or derive_message_id(body),
        _occurred_at(body, received_at, body.get("sentAt") or sent_at, shop, problems),
        user_id,
        anonymous_id,
        body,
        received_at,
        tuple(problems),
    )


def check_size(body: Any) -> None:
    """Raise InvalidRow if a message is larger than MAX_MESSAGE_BYTES or nested too deeply."""
    try:
        text = _encode(body)
    except RecursionError:
        raise InvalidRow(TOO_DEEP) from None
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    if size > MAX_MESSAGE_BYTES:
        raise InvalidRow(f"the message has {size} bytes; the limit is {MAX_MESSAGE_BYTES}")


def derive_message_id(body: Mapping[str, Any]) -> str:
    """Return an id that depends on the content of a message, so that a retry without a messageId has the same id."""
    content = {name: value for name, value in body.items() if name not in ("sentAt", "writeKey")}
    return "derived-" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def object_or_empty(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def _parse_id(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    most = MAX_TEXT - (len(ANONYMOUS_PREFIX) if name == "anonymousId" else 0)
    if isinstance(value, str) and len(value) <= most and _PLAIN_ID.fullmatch(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRow(f"{name}: {_excerpt(value)} is not a text")
    value = to_nfc(value.strip())
    if len(value) > most:
        raise InvalidRow(f"{name}: longer than {most} characters")
    check_text(value, name)
    return check_id(value, name)


def _parse_optional_id(body: Mapping[str, Any], name: str, problems: list[str]) -> str:
    try:
        return _parse_id(body, name)
    except InvalidRow as error:
        problems.append(str(error))
        return ""


def _check_event(name: Any) -> None:
    if not isinstance(name, str) or not name or name.isspace():
        raise InvalidRow("event: missing; a track call needs the name of the event")
    check_text(name, "event")


def check_text(value: str, name: str) -> None:
    """Raise InvalidRow for characters that the database cannot store."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRow(f"{name}: contains half a surrogate pair") from None
    if "\x00" in value:
        raise InvalidRow(f"{name}: contains a NUL character")


def _occurred_at(
    body: Mapping[str, Any], received_at: datetime, sent_at: Any, shop: ShopSettings, problems: list[str]
) -> datetime:
    """Return the time of the message by our clock, never later than the receipt."""
    given = body.get("timestamp") or body.get("originalTimestamp")
    if given is None:
        return received_at
    at = _parse_instant(given, shop)
    if at is None:
        problems.append(f"timestamp: {_excerpt(given)} is not a time; write it as 2026-03-31T18:30:00Z")
        return received_at
    at = min(_correct_clock(at, received_at, _parse_instant(sent_at, shop)), received_at)
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        problems.append(f"timestamp: {_excerpt(given)} is not between the years {FIRST_YEAR} and {LAST_YEAR}")
        return received_at
    return at


def _correct_clock(at: datetime, received_at: datetime, sent: datetime | None) -> datetime:
    """Correct a time by the difference between the sender's clock and ours.

    A difference of a few seconds is network delay; correcting by it would change the order of one sender's messages.
    A ``sentAt`` that is not within a day of the receipt or of the timestamp is ignored.
    """
    if sent is None or abs(received_at - sent) <= MAX_NETWORK_DELAY:
        return at
    if abs(received_at - sent) > MAX_SENT_AT_DISTANCE and abs(sent - at) > MAX_SENT_AT_DISTANCE:
        return at
    try:
        return at + (received_at - sent)
    except OverflowError:
        return at


def _parse_instant(value: Any, shop: ShopSettings) -> datetime | None:
    """Parse ISO 8601, or a number of seconds or milliseconds since 1970. Return None if it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > MAX_UNIX_SECONDS else value, UTC)
        if not isinstance(value, str):
            return None
        text = value.strip()
        instant = datetime.fromisoformat(_FRACTION.sub(r".\1", text) if "." in text else text)
        if instant.tzinfo is UTC:
            return instant
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=shop.zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _excerpt(value: Any) -> str:
    return repr(value)[:60]
