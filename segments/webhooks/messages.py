"""What a message says: as few words as a receiver needs, and no contact data."""

import json
from datetime import UTC, datetime
from typing import Any

from segments.models import Change, Message


def body(message: Message, change: Change | None) -> str:
    """Write a message as JSON; empty where there is nothing to say any more.

    ``change`` is the one that a message for a single customer tells of, if it is still in the log. Whoever was
    erased meanwhile is named there no longer.
    """
    match message.kind:
        case Message.Kind.TEST:
            return _written(message.kind, message.written_at, {"endpoint": message.endpoint.name})
        case Message.Kind.BULK:
            return _written(message.kind, message.written_at, _of_many(message))
    if change is None or not change.public_id:
        return ""
    return _written(message.kind, change.at, _of_one(message, change))


def moment(instant: datetime) -> str:
    """Write an instant as the API does."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _of_one(message: Message, change: Change) -> dict[str, Any]:
    return {
        "id": change.pk,
        "segment": _slug(message),
        "customer_id": change.public_id,
        "change": change.change,
        "at": moment(change.at),
        "cause": change.cause,
    }


def _of_many(message: Message) -> dict[str, Any]:
    """Give the counts, and where to fetch the changes: those after one id, up to another."""
    assert message.first_id
    slug = _slug(message)
    return {
        "segment": slug,
        **message.summary,
        "first_id": message.first_id,
        "last_id": message.last_id,
        "changes": f"/api/v1/segments/{slug}/changes/?after={message.first_id - 1}",
    }


def _slug(message: Message) -> str:
    assert message.segment
    return message.segment.slug


def _written(kind: str, at: datetime, data: dict[str, Any]) -> str:
    said = {"type": str(kind), "timestamp": moment(at), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
