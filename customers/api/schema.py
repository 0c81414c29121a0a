"""OpenAPI schemas of the objects that are sent, from the columns of ``customers.rows.parsing``.

A schema cannot express every rule (for example whether a record exists already); descriptions and errors do.
"""

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


def request_schema(kind: Kind, example: Schema) -> Schema:
    """Return the schema of a request body: one object of a kind, or a list."""
    item = _object_schema(kind)
    if kind is ORDERS:
        item["properties"]["lines"] = {
            "type": "array",
            "items": _object_schema(ORDER_LINES),
            "nullable": True,
        }
    item["example"] = example
    # An invalid object in a list is not an error of the request.
    other = {
        "description": "Anything else is refused in the results, by its index. The other objects are kept."
    }
    items = {"type": "array", "maxItems": MAX_ITEMS, "items": {"anyOf": [item, other]}}
    return {"application/json": {"oneOf": [item, items]}}


def _object_schema(kind: Kind) -> Schema:
    key = kind.key[0]
    properties = {
        name: _COLUMNS.get(name, _TEXT) if name in kind.essential else _optional(_COLUMNS.get(name, _TEXT))
        for name in kind.csv_columns
    }
    described: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if kind is ORDER_LINES:
        properties["name"] = _optional(_text(MAX_NAME))
        properties[key] = {"description": "The id of the order; may be omitted."}
        properties["sku"] = _id()
        return described | {"required": ["sku"]}
    if kind is CUSTOMERS:
        properties["attributes"] = {
            "type": "object",
            "additionalProperties": _optional(_ATTRIBUTE),
            "nullable": True,
            "description": "Other data of the shop, by names of up to 100 characters.",
        }
    properties[key] = _id()
    return described | {"required": [key]}


def _optional(schema: Schema) -> Schema:
    """Return the schema of a value that is left out if it is invalid."""
    return {"anyOf": [schema, {"description": "Anything else is left out, and named in `warnings`."}]}


def _text(max_length: int) -> Schema:
    text = {"type": "string", "maxLength": max_length, "pattern": WITHOUT_NUL}
    return {"anyOf": [text, _NUMBER], "nullable": True}


def _id(max_length: int = MAX_TEXT) -> Schema:
    """Return the schema of a required id. Numbers are read exactly as written."""
    text = {
        "type": "string",
        "minLength": 1,
        "maxLength": max_length,
        "pattern": rf"^(?!\s*{ANONYMOUS_PREFIX})[^\u0000]*[^\s\u0000][^\u0000]*$",
    }
    return {"anyOf": [text, _NUMBER]}


def _one_of(choices: list[str]) -> Schema:
    return {"type": "string", "enum": [*choices, "", None], "nullable": True}


def _pattern(pattern: str, **more: Any) -> Schema:
    # Surrounding spaces are ignored, and an empty text means no value.
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
    description="ISO 8601, such as `2026-03-31T18:30:00+02:00`. Without an offset, it is in the shop's time zone.",
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
    "description": "Up to four decimals, as a number or as text.",
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
    "currency": _pattern(
        "[A-Za-z]{3}", description="A code of three letters. The default is the shop's currency."
    ),
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
