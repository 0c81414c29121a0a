"""Messages as clients send them: their common fields, checked, whichever SDK they come from."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

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
"""The last part of an address, and the type of message that is sent to it."""

MAX_UNIX_SECONDS: Final = 1e11
"""Numbers above it count milliseconds since 1970, numbers up to it seconds."""

_FRACTION = re.compile(r"\.(\d{6})\d+")


@dataclass(frozen=True, slots=True)
class TrackedMessage:
    """One message, its time corrected by the sender's clock; ``body`` is as it was sent.

    ``at`` is not later than ``received_at``. ``complaints`` are about what could not be read of it.
    """

    type: str
    message_id: str
    at: datetime
    user_id: str
    anonymous_id: str
    body: Mapping[str, Any]
    received_at: datetime
    complaints: tuple[str, ...] = ()

    @property
    def context(self) -> Mapping[str, Any]:
        """Give the context; anything but an object is none."""
        return object_or_empty(self.body.get("context"))


def parse_message(
    body: Any, call: str, received_at: datetime, sent_at: Any, shop: ShopSettings
) -> TrackedMessage:
    """Read a message of a batch, or a single one sent to a type's own address.

    Raises Refused with what to change.
    """
    if not isinstance(body, dict):
        raise InvalidRow("a message is a JSON object")
    kind = call if call != BATCH else body.get("type")
    if kind not in TYPES:
        raise InvalidRow(f"type: {_excerpt(kind)} is not one of {', '.join(TYPES)}")
    complaints: list[str] = []
    user_id = _parse_id(body, "userId")
    anonymous_id = (
        _parse_optional_id(body, "anonymousId", complaints) if user_id else _parse_id(body, "anonymousId")
    )
    if user_id.startswith(ANONYMOUS_PREFIX):
        raise InvalidRow(f"userId: begins with {ANONYMOUS_PREFIX}, which is how visitors are printed")
    if not user_id and not anonymous_id:
        raise InvalidRow("userId: missing, and so is anonymousId; one of them says whose message it is")
    if kind == "track":
        _check_event(body.get("event"))
    if kind == "alias" and not (_parse_id(body, "previousId") and user_id):
        raise InvalidRow("previousId and userId: an alias needs both")
    return TrackedMessage(
        kind,
        _parse_optional_id(body, "messageId", complaints) or derive_message_id(body),
        _occurred_at(body, received_at, body.get("sentAt") or sent_at, shop, complaints),
        user_id,
        anonymous_id,
        body,
        received_at,
        tuple(complaints),
    )


def check_size(body: Any) -> None:
    """Refuse a message that is longer than one may be."""
    try:
        size = len(json.dumps(body, ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        raise InvalidRow(TOO_DEEP) from None
    if size > MAX_MESSAGE_BYTES:
        raise InvalidRow(f"the message has {size} bytes; at most {MAX_MESSAGE_BYTES} are taken")


def derive_message_id(body: Mapping[str, Any]) -> str:
    """Make the id of a message without one from what it says, so that a retry is not taken for another."""
    told = {name: value for name, value in body.items() if name not in ("sentAt", "writeKey")}
    return "derived-" + hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def object_or_empty(value: Any) -> Mapping[str, Any]:
    """Give a JSON object, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _parse_id(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRow(f"{name}: {_excerpt(value)} is no text")
    value = to_nfc(value.strip())
    most = MAX_TEXT - (len(ANONYMOUS_PREFIX) if name == "anonymousId" else 0)
    if len(value) > most:
        raise InvalidRow(f"{name}: longer than {most} characters")
    check_text(value, name)
    return check_id(value, name)


def _parse_optional_id(body: Mapping[str, Any], name: str, complaints: list[str]) -> str:
    """Read an id that the message can do without."""
    try:
        return _parse_id(body, name)
    except InvalidRow as error:
        complaints.append(str(error))
        return ""


def _check_event(name: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise InvalidRow("event: missing; a track call names what happened")
    check_text(name, "event")


def check_text(value: str, name: str) -> None:
    """Refuse what no text of a database can hold."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRow(f"{name}: contains half a surrogate pair") from None
    if "\x00" in value:
        raise InvalidRow(f"{name}: contains a NUL character")


def _occurred_at(
    body: Mapping[str, Any], received_at: datetime, sent_at: Any, shop: ShopSettings, complaints: list[str]
) -> datetime:
    """Return when it happened by our clock, never later than the receipt."""
    given = body.get("timestamp") or body.get("originalTimestamp")
    if given is None:
        return received_at
    at = _parse_instant(given, shop)
    if at is None:
        complaints.append(f"timestamp: {_excerpt(given)} is not a time; write it as 2026-03-31T18:30:00Z")
        return received_at
    at = min(_correct_clock(at, received_at, _parse_instant(sent_at, shop)), received_at)
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        complaints.append(
            f"timestamp: {_excerpt(given)} is not between the years {FIRST_YEAR} and {LAST_YEAR}"
        )
        return received_at
    return at


def _correct_clock(at: datetime, received_at: datetime, sent: datetime | None) -> datetime:
    """Correct a time by what the sender's clock said when the message was sent.

    A few seconds that the clocks seem to differ by are the way it took, which would mix up what one sender tells. A
    ``sentAt`` that lies within a day of neither the receipt nor the timestamp is of no clock at all.
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
    """Read a time: ISO 8601, or as JavaScript counts it, in milliseconds since 1970."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > MAX_UNIX_SECONDS else value, UTC)
        if not isinstance(value, str):
            return None
        instant = datetime.fromisoformat(_FRACTION.sub(r".\1", value.strip()))
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=shop.zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _excerpt(value: Any) -> str:
    return repr(value)[:60]
