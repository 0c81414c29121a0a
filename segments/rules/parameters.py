"""Parameters that are objects or single values: a product, a property of an event, a name, a flag, a span."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.fields.json import KeyTextTransform
from pydantic import TypeAdapter

from core.values import sortable_values
from customers.models import EventProduct, OrderLine

from . import values
from .errors import RuleError
from .operators import Number, Period
from .text_operators import List, Text

MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Product:
    """A product, described by one or more of its parts."""

    parts: tuple[tuple[str, Text], ...]

    names = ("sku", "name", "category", "brand")

    @classmethod
    def parse(cls, given: Any, path: str) -> Self:
        """Parse ``{"brand": {"is": "Acme"}, …}``."""
        if not isinstance(given, dict) or not given:
            raise RuleError(path, f"expected an object with one or more of {', '.join(cls.names)}")
        for name in given:
            if name not in cls.names:
                raise RuleError(
                    f"{path}.{name}", f"is not a part of a product; expected {', '.join(cls.names)}"
                )
        return cls(
            tuple((name, Text.parse(given[name], f"{path}.{name}")) for name in cls.names if name in given)
        )

    @classmethod
    def schema(cls) -> dict[str, Any]:
        return {
            "title": cls.__name__,
            "type": "object",
            "properties": {name: Text.schema() for name in cls.names},
            "minProperties": 1,
            "additionalProperties": False,
        }

    def _fits(self) -> Q:
        query = Q()
        for name, text in self.parts:
            query &= text.q(F(f"{name}_folded"))
        return query

    def in_order_q(self) -> Q:
        """Build the query of orders with a line that matches every part."""
        return Q(
            Exists(
                OrderLine.objects.filter(self._fits(), order=OuterRef("pk"), customer=OuterRef("customer"))
            )
        )

    def in_event_q(self) -> Q:
        """Build the query of events whose properties, or one of whose ``products``, match every part."""
        listed = EventProduct.objects.filter(
            self._fits(), event=OuterRef("pk"), customer=OuterRef("customer")
        )
        return self._fits() | Q(Exists(listed))

    def phrase(self) -> str:
        """Return the phrase, such as "a product whose brand is “Acme”"."""
        return "a product whose " + " and ".join(f"{name} {text.phrase()}" for name, text in self.parts)


@dataclass(frozen=True)
class Property:
    """A comparison of one property of an event."""

    name: str
    operator: Text | Number

    @classmethod
    def parse(cls, given: Any, path: str) -> Self:
        """Parse ``{"property": "price", "at_least": 10}``."""
        if not isinstance(given, dict):
            raise RuleError(path, 'expected an object such as {"property": "price", "at_least": 10}')
        if "property" not in given:
            raise RuleError(f"{path}.property", "missing")
        name = NAME.parse(given["property"], f"{path}.property")
        return cls(
            name,
            parse_text_or_number({key: value for key, value in given.items() if key != "property"}, path),
        )

    @classmethod
    def schema(cls) -> dict[str, Any]:
        properties = _either(Text.schema()["properties"], Number.schema()["properties"])
        return {
            "title": cls.__name__,
            "type": "object",
            "properties": {"property": NAME.schema(), **properties},
            "required": ["property"],
            "minProperties": 2,
            "maxProperties": 2,
            "additionalProperties": False,
        }

    def q(self) -> Q:
        """Build the query of events."""
        return self.operator.encoded_q(free_value_expression(self.name, "properties_comparable"))

    def phrase(self) -> str:
        """Return the phrase, such as "whose price is at least 10"."""
        return f"whose {self.name} {comparison_phrase(self.operator)}"


@dataclass(frozen=True)
class Scalar:
    """A single value."""

    adapter: TypeAdapter[Any]

    def parse(self, given: Any, path: str) -> Any:
        return values.parse_value(self.adapter, given, path)

    def schema(self) -> dict[str, Any]:
        return self.adapter.json_schema()


NAME = Scalar(values.TEXT)
FLAG = Scalar(values.FLAG)
SPAN = Scalar(values.SPAN)


def free_value_expression(name: str, column: str) -> KeyTextTransform:
    """Return the expression of a free value in a JSON column of sortable forms."""
    return KeyTextTransform(sortable_values.json_key(name), column)


def parse_text_or_number(given: Mapping[str, Any], path: str) -> Text | Number:
    """Parse one operator of either kind. For ``is`` and ``is_not``, the type of the value decides which."""
    for name in given:
        if name not in Text.words and name not in Number.words:
            raise RuleError(
                f"{path}.{name}",
                f"is not a word here; expected one of {', '.join((*Text.words, *Number.words))}",
            )
    word = next(iter(given), None)
    is_number = word in Number.words and (word not in Text.words or not isinstance(given[word], str))
    return (Number if is_number else Text).parse(dict(given), path)


def comparison_phrase(words: Any) -> str:
    return words.phrase() if isinstance(words, Text | List) else f"is {words.phrase()}"


def _either(*words: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for given in words:
        for word, schema in given.items():
            merged[word] = {"anyOf": [merged[word], schema]} if word in merged else schema
    return merged


def period_q(period: Period | None, column: str, at: datetime, zone: ZoneInfo) -> Q:
    """Build the query of records in a period; without a period, of all records."""
    return period.q(F(column), at, zone) if period else Q()
