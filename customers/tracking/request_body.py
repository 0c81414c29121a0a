"""Bodies of requests: read within bounds, inflated within bounds, decoded, and of the right shape."""

import json
import zlib
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.http.request import UnreadablePostError

from .messages import BATCH

MAX_SENT: Final = 500 * 1024
MAX_INFLATED: Final = 4 * 1024 * 1024
MAX_MESSAGES: Final = 2_500

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class Rejected(Exception):
    """A request that is answered by an error; nothing of it is kept."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


@dataclass(frozen=True, slots=True)
class Body:
    """A body as text, to keep, and decoded."""

    text: str
    content: dict[str, Any]


def read(request: HttpRequest) -> Body:
    """Read, inflate and decode a body, whatever type of content it is labelled as; raises Rejected."""
    text = _decoded(_inflated(_sent(request), request.headers.get("Content-Encoding", "")))
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Rejected(400, "invalid_json", f"The body is not valid JSON: {str(error)[:200]}.") from None
    if not isinstance(content, dict):
        raise Rejected(400, "invalid_json", "The body is a JSON object.")
    return Body(text, content)


def batch_of(content: dict[str, Any]) -> list[Any]:
    """Give the messages of a batch, or raise Rejected."""
    batch = content.get(BATCH)
    if not isinstance(batch, list):
        raise Rejected(400, "invalid_batch", "batch: a list of messages is missing.")
    if len(batch) > MAX_MESSAGES:
        raise Rejected(400, "too_many_messages", f"batch: at most {MAX_MESSAGES} messages are taken at once.")
    return batch


def _sent(request: HttpRequest) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced.isdigit() and int(announced) > MAX_SENT:
        raise Rejected(413, "too_large", f"At most {MAX_SENT} bytes are taken at once.")
    try:
        sent = request.read(MAX_SENT + 1)
    except (UnreadablePostError, OSError):
        raise Rejected(400, "incomplete_body", "The body ended before it was complete.") from None
    if len(sent) > MAX_SENT:
        raise Rejected(413, "too_large", f"At most {MAX_SENT} bytes are taken at once.")
    return sent


def _inflated(sent: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "gzip" | "x-gzip":
            pass
        case "" | "identity":
            if not sent.startswith(_GZIP):
                return sent
        case _:
            raise Rejected(400, "unknown_encoding", "Content-Encoding: only gzip is understood.")
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(sent, MAX_INFLATED + 1)
    except zlib.error:
        raise Rejected(400, "invalid_gzip", "The body is not valid gzip.") from None
    if len(inflated) > MAX_INFLATED:
        raise Rejected(413, "too_large", f"At most {MAX_INFLATED} bytes are taken at once, after inflating.")
    if not inflater.eof or inflater.unused_data:
        raise Rejected(400, "invalid_gzip", "The body is not one whole gzip stream.")
    return inflated


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Rejected(400, "invalid_encoding", "The body is not UTF-8.") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")
