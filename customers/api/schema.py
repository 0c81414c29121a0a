"""How the documentation describes the objects that are sent: by columns, as ``customers.rows.parsing`` reads them.

What no description can say (whether there is such a record already) is said in words, and answered by ``errors``.
"""

import re
from typing import Any

from core.values import decimals
from core.values.regexes import DATE, DATETIME, WITHOUT_NUL
from customers.models import Order
from customers.models.customer import ANONYMOUS_PREFIX
from customers.rows.cells import CONSENT_WORDS, MAX_EMAIL, MAX_NAME, MAX_TEXT
from customers.rows.kinds import CUSTOMERS, ORDER_LINES, ORDERS, Kind

from .ingest import MAX_NUMBER

MAX_ITEMS = 1_000

Schema = dict[str, Any]

_FIRST_SENTENCE = re.compile(r"(?<=\.)\s")


def request_schema(kind: Kind, example: Schema) -> Schema:
    """Describe the body that a kind is sent in: one object or a list."""
    item = _object_schema(kind)
    if kind is ORDERS:
        item["properties"]["lines"] = {
            "type": "array",
            "items": _object_schema(ORDER_LINES),
            "nullable": True,
        }
    item["example"] = example
    # True of lists: a bad object in one is no error of the request.
    told = {"description": "Whatever else is refused in the results, by its index, and the others are kept."}
    items = {"type": "array", "maxItems": MAX_ITEMS, "items": {"anyOf": [item, told]}}
    return {"application/json": {"oneOf": [item, items]}}


def require_request_bodies(result: Schema, **context: Any) -> Schema:
    """Say of every POST that takes a body that it needs one; called by the documentation's generator."""
    for methods in result["paths"].values():
        if "requestBody" in methods.get("post", {}):
            methods["post"]["requestBody"]["required"] = True
    return result


def allow_empty_choices(result: Schema, **context: Any) -> Schema:
    """Say of what is chosen in an address that an empty choice is as good as none; called by the generator, too."""
    for methods in result["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query" and "enum" in parameter["schema"]:
                    parameter["schema"]["enum"].append("")
    return result


def add_summaries(result: Schema, **context: Any) -> Schema:
    """Give each operation the first sentence of its description as a title; called by the generator, too."""
    for methods in result["paths"].values():
        for operation in methods.values():
            if "description" in operation:
                operation["summary"] = _FIRST_SENTENCE.split(operation["description"], maxsplit=1)[0].rstrip(
                    "."
                )
    return result


def _object_schema(kind: Kind) -> Schema:
    key = kind.key[0]
    properties = {
        name: _COLUMNS.get(name, _TEXT) if name in kind.essential else _optional(_COLUMNS.get(name, _TEXT))
        for name in kind.csv_columns
    }
    described: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if kind is ORDER_LINES:
        properties["name"] = _optional(_text(MAX_NAME))
        properties[key] = {"description": "That of the order it stands in; may be left out."}
        properties["sku"] = _id()
        return described | {"required": ["sku"]}
    if kind is CUSTOMERS:
        properties["attributes"] = {
            "type": "object",
            "additionalProperties": _optional(_ATTRIBUTE),
            "nullable": True,
            "description": "Whatever else the shop knows, by names of up to 100 characters.",
        }
    properties[key] = _id()
    return described | {"required": [key]}


def _optional(schema: Schema) -> Schema:
    """Describe a value that costs nothing but itself where it cannot be read."""
    return {"anyOf": [schema, {"description": "Anything else is left out, and named in `warnings`."}]}


def _text(most: int) -> Schema:
    text = {"type": "string", "maxLength": most, "pattern": WITHOUT_NUL}
    return {"anyOf": [text, _NUMBER], "nullable": True}


def _id(most: int = MAX_TEXT) -> Schema:
    """Describe an id that has to be given; numbers are taken as they are written."""
    text = {
        "type": "string",
        "minLength": 1,
        "maxLength": most,
        "pattern": rf"^(?!\s*{ANONYMOUS_PREFIX})[^\u0000]*[^\s\u0000][^\u0000]*$",
    }
    return {"anyOf": [text, _NUMBER]}


def _one_of(choices: list[str]) -> Schema:
    return {"type": "string", "enum": [*choices, "", None], "nullable": True}


def _pattern(pattern: str, **more: Any) -> Schema:
    # Spaces around a value do not count, and an empty text is as good as none.
    return {"type": "string", "pattern": rf"^\s*({pattern})?\s*$", "nullable": True, **more}


def _in_any_case(word: str) -> str:
    return "".join(f"[{one.upper()}{one}]" if one.isalpha() else one for one in word)


_NUMBER: Schema = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_TEXT = _text(MAX_TEXT)
_ATTRIBUTE: Schema = {
    "anyOf": [
        {"type": "string", "maxLength": MAX_NAME, "pattern": WITHOUT_NUL},
        _NUMBER,
        {"type": "boolean"},
        {"type": "array", "items": {"type": "string", "maxLength": MAX_TEXT, "pattern": WITHOUT_NUL}},
    ],
    "nullable": True,
}
_MOMENT = _pattern(
    DATETIME,
    description="ISO 8601, such as `2026-03-31T18:30:00+02:00`; without an offset in the shop's time zone.",
)
_AMOUNT: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*([+-]?[0-9]{1,10}(\.[0-9]{1,4}0*)?)?\s*$"},
        {
            "type": "number",
            "minimum": -decimals.MAX_AMOUNT,
            "maximum": decimals.MAX_AMOUNT,
            "exclusiveMinimum": True,
            "exclusiveMaximum": True,
        },
    ],
    "nullable": True,
    "description": "Up to four decimals; as a number or, to be safe from binary floats, as text.",
}
_COLUMNS: dict[str, Schema] = {
    "email": _pattern(r"[^@\s,;<>\"\u0000]{1,64}@[^@\s,;<>\"\u0000]{1,189}", maxLength=MAX_EMAIL),
    "phone": {
        "anyOf": [
            _pattern(r"\+?[0-9\s()./-]{4,39}"),
            {"type": "number", "minimum": 1_000, "maximum": MAX_NUMBER},
        ],
        "nullable": True,
    },
    "birth_date": _pattern(DATE, description="Such as `1990-12-24`."),
    "newsletter": {
        "anyOf": [
            _pattern("|".join(map(_in_any_case, CONSENT_WORDS))),
            {"type": "boolean"},
            {"type": "integer", "enum": [0, 1]},
        ],
        "nullable": True,
        "description": "`subscribed`, `unsubscribed` or `never`. `true`, `yes` and `1` mean the first, "
        "`false`, `no` and `0` the second.",
    },
    "subscribed_at": _MOMENT,
    "first_seen": _MOMENT,
    "placed_at": _MOMENT,
    "occurred_at": _MOMENT,
    "status": _one_of(Order.Status.values),
    "currency": _pattern("[A-Za-z]{3}", description="A code of three letters; without one the shop's."),
    "properties": {"type": "object", "nullable": True, "description": "Up to 65,536 characters of JSON."},
    "customer_id": {
        "anyOf": [
            {"type": "string", "maxLength": MAX_TEXT, "pattern": rf"^(?!\s*{ANONYMOUS_PREFIX})[^\u0000]*$"},
            _NUMBER,
        ],
        "nullable": True,
    },
    "anonymous_id": _text(MAX_TEXT - len(ANONYMOUS_PREFIX)),
    **dict.fromkeys(("total", "discount_total", "refunded_total", "quantity", "unit_price"), _AMOUNT),
}
