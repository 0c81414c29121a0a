"""What a message says: as few words as a receiver needs, and no contact data."""

import json
from datetime import UTC, datetime
from typing import Any

from segments.models import Change, Message


def build_payload(message: Message, change: Change | None) -> str:
    """Write a message as JSON; empty where there is nothing to say any more.

    ``change`` is the one that a message for a single customer tells of, if it is still in the log. Whoever was
    erased meanwhile is named there no longer.
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
    """Write an instant as the API does."""
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
    """Give the counts, and where to fetch the changes: those after one id, up to another."""
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
    said = {"type": str(kind), "timestamp": format_instant(at), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
