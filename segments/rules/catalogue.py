"""The filters as staff and API clients see them: label, help, group, parameters as JSON Schema, an example."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from inspect import cleandoc
from types import MappingProxyType
from typing import Any

from .base import Condition, registry
from .declarations import InlineParam, NestedRule
from .groups import GROUPS
from .parsing import MAX_CONDITIONS, parameter_name, parse

GROUP_LABELS = {
    "profile": "Who the customer is",
    "orders": "What the customer ordered",
    "spending": "What the customer spent",
    "behaviour": "What the customer did",
    "segments": "Segments",
}
LIFECYCLE_FILTERS = (
    "known", "newsletter", "first_seen", "order_count", "first_order", "last_order", "total_spent",
    "average_order_value", "days_between_orders", "discounted_order_share", "last_activity", "session_count",
    "open_cart", "event_count", "rfm",
)  # fmt: skip


ANY_RULE: Mapping[str, Any] = MappingProxyType(
    {"title": "Rule", "type": "object", "minProperties": 1, "maxProperties": 1}
)
"""The JSON Schema of a nested rule where the schema of rules cannot be referred to."""


@dataclass(frozen=True)
class Unrecorded:
    """What staff search for and no filter asks: the words, separated by commas, and the filters that come nearest."""

    words: str
    note: str
    nearest: tuple[str, ...]


UNRECORDED = (
    Unrecorded(
        "opened, opens, open rate, read",
        "Whether a message was opened is not recorded, because mail programs report it wrongly.",
        ("last_activity", "event_count"),
    ),
    Unrecorded(
        "clicked, clicks, click rate, received, delivered, bounced, sent, message, email campaign, replied",
        "Clicks and deliveries are on the page of each campaign. No filter asks for them yet.",
        ("last_activity", "source", "event_count"),
    ),
    Unrecorded(
        "device, mobile, desktop, tablet, browser, app, operating system, iPhone, Android",
        "The device is not recorded. If your shop sends it with its events, ask for it as their property.",
        ("event_count",),
    ),
    Unrecorded(
        "gender, sex, age, income, company, job",
        "This is known only if your shop sends it as an attribute of the customer.",
        ("attribute", "birthday"),
    ),
    Unrecorded(
        "predicted, prediction, propensity, probability, likely to buy, churn risk, forecast",
        "Nothing is predicted. Scores and time since the last order show who is at risk.",
        ("rfm", "last_order"),
    ),
    Unrecorded(
        "review, rating, NPS, survey, feedback, stars",
        "Reviews are known only if your shop sends them as events or attributes.",
        ("event_count", "attribute"),
    ),
    Unrecorded(
        "payment, payment method, shipping, shipped, delivery, order status, pending, cancelled, store",
        "Payment, shipping and the status of an order are not asked by any filter yet.",
        ("order_count", "refund_count"),
    ),
)


@dataclass(frozen=True)
class FilterEntry:
    """One filter. ``parameters`` is a JSON Schema, ``example`` a complete rule."""

    name: str
    label: str
    help: str
    group: str
    parameters: dict[str, Any]
    example: dict[str, Any]
    sentence: str


def list_filters() -> list[FilterEntry]:
    """Return every filter, ordered by group."""
    ordered = sorted(registry.values(), key=lambda cls: list(GROUP_LABELS).index(cls.group))
    return [_entry(cls) for cls in ordered]


def _entry(cls: type[Condition]) -> FilterEntry:
    example = {cls.name: cls.example}
    return FilterEntry(
        cls.name,
        cls.label,
        cleandoc(cls.__doc__ or ""),
        cls.group,
        parameters_schema(cls),
        example,
        parse(example).sentence(),
    )


def parameters_schema(cls: type[Condition], rule: Mapping[str, Any] = ANY_RULE) -> dict[str, Any]:
    """Return the JSON Schema of a filter's parameters. ``rule`` is that of a nested rule."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    one_of: list[dict[str, Any]] = []
    for item in fields(cls):  # type: ignore[arg-type]
        parameter = item.metadata["parameter"]
        if isinstance(parameter, InlineParam):
            words = _inline_operators(parameter)
            properties |= words
            one_of = [{"required": [word]} for word in words]
        else:
            name = parameter_name(item)
            properties[name] = (
                dict(rule) if isinstance(parameter.kind, NestedRule) else parameter.kind.schema()
            )
            required += [name] if parameter.required else []
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if cls.needs_one:
        schema["minProperties"] = 1
    if one_of:
        schema["oneOf"] = one_of
    if cls.exclusive:
        schema["not"] = {"required": list(cls.exclusive)}
    return schema


def rule_schema(itself: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a rule. ``itself`` is the reference to this schema, used for the rules of a group."""
    rules = {"type": "array", "items": itself, "minItems": 1, "maxItems": MAX_CONDITIONS}
    groups = [_of_one_key(word, rules, cleandoc(group.__doc__ or "")) for word, group in GROUPS.items()]
    filters = [
        _of_one_key(entry.name, parameters_schema(registry[entry.name], itself), entry.help)
        for entry in list_filters()
    ]
    return {"oneOf": groups + filters}


def _of_one_key(key: str, value: dict[str, Any], meaning: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": meaning,
        "properties": {key: value},
        "required": [key],
        "additionalProperties": False,
    }


def _inline_operators(parameter: InlineParam) -> dict[str, Any]:
    words: dict[str, list[Any]] = {}
    for kind in parameter.kinds:
        for word, adapter in kind.words.items():
            schemas = words.setdefault(word, [])
            schema = adapter.json_schema()
            schemas += [schema] if schema not in schemas else []
    return {word: schemas[0] if len(schemas) == 1 else {"anyOf": schemas} for word, schemas in words.items()}


def catalogue_markdown() -> str:
    """Return the reference part of ``docs/rules.md``."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for group, label in GROUP_LABELS.items():
        yield f"## {label}\n"
        for entry in list_filters():
            if entry.group != group:
                continue
            lifecycle = " · lifecycle filter" if entry.name in LIFECYCLE_FILTERS else ""
            yield f"### `{entry.name}` — {entry.label}{lifecycle}\n"
            yield f"{entry.help}\n"
            yield "| parameter | takes |\n| --- | --- |"
            for name, schema in entry.parameters["properties"].items():
                required = " (required)" if name in entry.parameters.get("required", ()) else ""
                yield f"| `{name}`{required} | {_describe_schema(schema)} |"
            if "oneOf" in entry.parameters:
                words = ", ".join(f"`{one['required'][0]}`" for one in entry.parameters["oneOf"])
                yield f"\nExactly one of {words}."
            if exclusive := registry[entry.name].exclusive:
                yield f"\nAt most one of {', '.join(f'`{name}`' for name in exclusive)}."
            yield f"\n```json\n{_json(entry.example)}\n```\n\nEveryone who {entry.sentence}.\n"


def _describe_schema(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return ", or ".join(map(_describe_schema, schema["anyOf"]))
    if "enum" in schema:
        return " / ".join(f"`{_json(choice)}`" for choice in schema["enum"])
    match schema.get("type"):
        case "object" if schema.get("title") == "Rule":
            return "a rule"
        case "object":
            return "an object of " + ", ".join(f"`{name}`" for name in schema["properties"])
        case "array" if schema.get("maxItems") == 2:
            return f"`[low, high]`, each {_describe_schema(schema['items'])}"
        case "array":
            return f"a list of up to {schema['maxItems']:,}, each {_describe_schema(schema['items'])}"
        case "string" if schema.get("format") == "date":
            return "a date"
        case "string" if "examples" in schema:
            return "a span such as " + ", ".join(f"`{_json(example)}`" for example in schema["examples"])
        case "string":
            return "a text" if "pattern" not in schema else "a slug"
        case "boolean":
            return "`true` / `false`"
        case "number" if "exclusiveMinimum" in schema:
            return "a percentage"
        case "number" if schema["maximum"] == 1:
            return "a share from 0 to 1"
        case "integer":
            return f"a whole number from {schema['minimum']} to {schema['maximum']}"
        case _:
            return "a number"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
