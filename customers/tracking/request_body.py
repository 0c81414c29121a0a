"""Request bodies: read and inflated within limits, and decoded."""

import json
import zlib
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest
from django.http.request import UnreadablePostError

from .messages import BATCH

MAX_BODY_BYTES: Final = 500 * 1024
MAX_INFLATED_BYTES: Final = 4 * 1024 * 1024
MAX_BATCH_MESSAGES: Final = 2_500

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class RequestError(Exception):
    """An error response; nothing of the request is stored."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A body as text and as decoded JSON."""

    text: str
    content: dict[str, Any]


def read_request_body(request: HttpRequest) -> RequestBody:
    """Read, inflate and decode a body, whatever its Content-Type. Raises RequestError."""
    text = _decode(_inflate(_read_bytes(request), request.headers.get("Content-Encoding", "")))
    try:
        content = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "invalid_json", f"The body is not valid JSON: {str(error)[:200]}.") from None
    if not isinstance(content, dict):
        raise RequestError(400, "invalid_json", "The body must be a JSON object.")
    return RequestBody(text, content)


def messages_of_batch(content: dict[str, Any]) -> list[Any]:
    """Return the messages of a batch. Raises RequestError."""
    batch = content.get(BATCH)
    if not isinstance(batch, list):
        raise RequestError(400, "invalid_batch", "batch: the list of messages is missing.")
    if len(batch) > MAX_BATCH_MESSAGES:
        raise RequestError(
            400, "too_many_messages", f"batch: at most {MAX_BATCH_MESSAGES} messages are accepted at once."
        )
    return batch


def _read_bytes(request: HttpRequest) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise RequestError(413, "too_large", f"At most {MAX_BODY_BYTES} bytes are accepted.")
    try:
        sent = request.read(MAX_BODY_BYTES + 1)
    except (UnreadablePostError, OSError):
        raise RequestError(400, "incomplete_body", "The body ended before it was complete.") from None
    if len(sent) > MAX_BODY_BYTES:
        raise RequestError(413, "too_large", f"At most {MAX_BODY_BYTES} bytes are accepted.")
    return sent


def _inflate(sent: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "gzip" | "x-gzip":
            pass
        case "" | "identity":
            if not sent.startswith(_GZIP):
                return sent
        case _:
            raise RequestError(400, "unknown_encoding", "Content-Encoding: only gzip is supported.")
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(sent, MAX_INFLATED_BYTES + 1)
    except zlib.error:
        raise RequestError(400, "invalid_gzip", "The body is not valid gzip.") from None
    if len(inflated) > MAX_INFLATED_BYTES:
        raise RequestError(
            413, "too_large", f"At most {MAX_INFLATED_BYTES} bytes are accepted after inflating."
        )
    if not inflater.eof or inflater.unused_data:
        raise RequestError(400, "invalid_gzip", "The body is not one complete gzip stream.")
    return inflated


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError(400, "invalid_encoding", "The body is not UTF-8.") from None


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
