"""The JSON of a message. It contains no contact data."""

import json
from datetime import UTC, datetime
from typing import Any

from segments.models import Change, Message


def build_payload(message: Message, change: Change | None) -> str:
    """Return the JSON of a message, or an empty string if its content no longer exists.

    ``change`` is the change of a message about one customer, if it is still in the log. A customer who was erased
    meanwhile has no id there.
    """
    match message.kind:
        case Message.Kind.TEST:
            return _as_json(message.kind, message.written_at, {"endpoint": message.endpoint.name})
        case Message.Kind.BULK:
            return _as_json(message.kind, message.written_at, _summary_data(message))
    if change is None or not change.public_id:
        return ""
    return _as_json(message.kind, change.at, _change_data(message, change))


def format_instant(instant: datetime) -> str:
    """Return an instant in the format of the API."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _change_data(message: Message, change: Change) -> dict[str, Any]:
    return {
        "id": change.pk,
        "segment": _segment_slug(message),
        "customer_id": change.public_id,
        "change": change.change,
        "at": format_instant(change.at),
        "cause": change.cause,
    }


def _summary_data(message: Message) -> dict[str, Any]:
    """Return the counts, and the URL of the changes: those after ``after``, up to ``last_id``."""
    assert message.first_id
    slug = _segment_slug(message)
    return {
        "segment": slug,
        **message.summary,
        "first_id": message.first_id,
        "last_id": message.last_id,
        "changes": f"/api/v1/segments/{slug}/changes/?after={message.first_id - 1}",
    }


def _segment_slug(message: Message) -> str:
    assert message.segment
    return message.segment.slug


def _as_json(kind: str, at: datetime, data: dict[str, Any]) -> str:
    content = {"type": str(kind), "timestamp": format_instant(at), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
