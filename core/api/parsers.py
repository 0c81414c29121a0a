"""JSON parsers with a size limit, and with exact numbers."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.status import HTTP_413_REQUEST_ENTITY_TOO_LARGE

MAX_BODY_BYTES = 16 * 2**20


class BodyTooLarge(APIException):
    status_code = HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "The body is too large. Send less at once."


class BoundedJSONParser(BaseParser):
    """JSON in UTF-8, up to ``MAX_BODY_BYTES``."""

    media_type = "application/json"
    parse_number: Callable[[str], Any] = float

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"Send at most {MAX_BODY_BYTES // 2**20} MB at once.")
        try:
            return json.loads(body, parse_float=self.parse_number, parse_constant=_refuse)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise ParseError(f"This is not valid JSON: {error}") from None


class ExactJSONParser(BoundedJSONParser):
    """JSON with decimals instead of binary floats."""

    parse_number = Decimal


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def dump_exact_json(value: Any) -> str:
    """Serialize parsed JSON, with decimals exactly as they were sent."""
    match value:
        case dict():
            return (
                "{"
                + ",".join(f"{_encode(name)}:{dump_exact_json(part)}" for name, part in value.items())
                + "}"
            )
        case list():
            return "[" + ",".join(map(dump_exact_json, value)) + "]"
        case Decimal():
            return str(value)
    return _encode(value)


_encode = json.JSONEncoder(ensure_ascii=False).encode
