"""JSON as it is sent: numbers stay exact, and what is too large or too deep is refused."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.status import HTTP_413_REQUEST_ENTITY_TOO_LARGE

MAX_BODY_BYTES = 16 * 2**20


class BodyTooLarge(APIException):
    """More bytes than are read."""

    status_code = HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "The body is too large; send less at once."


class BoundedJSONParser(BaseParser):
    """JSON in UTF-8, up to a size."""

    media_type = "application/json"
    read_number: Callable[[str], Any] = float

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read the body."""
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"Send at most {MAX_BODY_BYTES // 2**20} MB at once.")
        try:
            return json.loads(body, parse_float=self.read_number, parse_constant=_refuse)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise ParseError(f"This is not valid JSON: {error}") from None


class ExactJSONParser(BoundedJSONParser):
    """JSON with decimals instead of binary floats."""

    read_number = Decimal


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def dump_exact_json(value: Any) -> str:
    """Write JSON again, its decimals as they were sent."""
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
