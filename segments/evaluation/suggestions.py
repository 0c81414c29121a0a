"""Suggestions for the rule editor: the most frequent values of the shop's newest records.

Only the newest records are read, so the answer is fast in a shop of any size.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from typing import Any

from django.db.models import Count, Max, Model, QuerySet

from core.values import sortable_values
from customers.models import Customer, Event, Order, OrderLine

MAX_SUGGESTIONS = 20
MAX_PLACES = 300
"""All countries and languages of a shop are suggested at once: the editor searches them by name."""
MAX_RECORDS, MAX_DOCUMENTS = 100_000, 2_000
MAX_SEARCH_LENGTH = 100
MAX_NEAREST, MAX_COMPARED = 3, 1_000
LEAST_SIMILARITY = 0.5
COMPARED_EXACTLY = ("event", "attribute", "property")
"""Kinds of names. In rules, they are compared with case."""


@dataclass(frozen=True)
class SuggestedValue:
    """A value, and how many customers have it among the newest records; None for the name of an event's property."""

    value: str
    customers: int | None


def suggest_values(kind: str, part: str = "", name: str = "") -> list[SuggestedValue]:
    """Return values of a kind that contain ``part``. ``name`` is the name of the attribute for ``attribute_value``.

    Raises KeyError if the kind is unknown.
    """
    most = MAX_PLACES if kind in ("country", "language") else MAX_SUGGESTIONS
    return _KINDS[kind](part.strip()[:MAX_SEARCH_LENGTH], name, most)


def nearest_values(kind: str, text: str, name: str = "") -> list[SuggestedValue] | None:
    """Return the values most like a text, or None if a record has the text itself. Raises KeyError as above."""
    text = text.strip()[:MAX_SEARCH_LENGTH]
    wanted = sortable_values.fold_case(text)
    for one in _KINDS[kind](text, name, MAX_COMPARED):
        if one.value == text or (kind not in COMPARED_EXACTLY and _fold(one) == wanted):
            return None
    compared = SequenceMatcher(b=wanted, autojunk=False)
    scored = []
    for one in _KINDS[kind]("", name, MAX_COMPARED):
        compared.set_seq1(_fold(one))
        if compared.quick_ratio() >= LEAST_SIMILARITY:
            likeness = compared.ratio() + (0.5 if wanted in _fold(one) else 0)
            scored.append((likeness, one))
    scored.sort(key=lambda pair: -pair[0])
    return [one for likeness, one in scored[:MAX_NEAREST] if likeness >= LEAST_SIMILARITY]


def _fold(suggested: SuggestedValue) -> str:
    return sortable_values.fold_case(suggested.value)


def _customer_values(column: str, part: str, _: str, most: int) -> list[SuggestedValue]:
    return _column_values(Customer, column, Count("pk"), part, most)


def _record_values(model: type[Model], column: str, part: str, _: str, most: int) -> list[SuggestedValue]:
    return _column_values(model, column, Count("customer", distinct=True), part, most)


def _column_values(
    model: type[Model], column: str, customers: Count, part: str, most: int
) -> list[SuggestedValue]:
    values = _newest(model, MAX_RECORDS).exclude(**{column: ""}).values_list(column)
    if part and any(field.name == f"{column}_folded" for field in model._meta.fields):
        values = values.filter(**{f"{column}_folded__contains": sortable_values.fold_case(part)})
    elif part:
        values = values.filter(**{f"{column}__icontains": part})
    counted = values.annotate(customers=customers).order_by("-customers", column)[:most]
    return [SuggestedValue(str(value), found) for value, found in counted]


def _newest(model: type[Model], count: int) -> QuerySet[Any]:
    last = model._default_manager.aggregate(last=Max("pk"))["last"] or 0
    return model._default_manager.filter(pk__gt=last - count)


def _attribute_names(part: str, _: str, most: int) -> list[SuggestedValue]:
    names = (name for document in _documents(Customer, "attributes") for name in document)
    return _most_frequent(names, part, most)


def _property_names(part: str, _: str, most: int) -> list[SuggestedValue]:
    names = (name for document in _documents(Event, "properties") for name in document)
    return [SuggestedValue(one.value, None) for one in _most_frequent(names, part, most)]


def _attribute_values(part: str, name: str, most: int) -> list[SuggestedValue]:
    attributes = (document.get(name) for document in _documents(Customer, "attributes"))
    listed = (value if isinstance(value, list) else [value] for value in attributes)
    return _most_frequent(
        (value for values in listed for value in values if isinstance(value, str)), part, most
    )


def _documents(model: type[Model], column: str) -> Iterable[dict[str, Any]]:
    values = (
        _newest(model, MAX_RECORDS).exclude(**{column: {}}).order_by("-pk").values_list(column, flat=True)
    )
    return values[:MAX_DOCUMENTS]


def _most_frequent(values: Iterable[str], part: str, most: int) -> list[SuggestedValue]:
    counted = Counter(
        value for value in values if sortable_values.fold_case(part) in sortable_values.fold_case(value)
    )
    return [SuggestedValue(value, found) for value, found in counted.most_common(most)]


_KINDS: Mapping[str, Callable[[str, str, int], list[SuggestedValue]]] = {
    **{name: partial(_customer_values, name) for name in ("country", "city", "language", "source")},
    **{name: partial(_record_values, OrderLine, name) for name in ("sku", "name", "category", "brand")},
    "coupon": partial(_record_values, Order, "coupon_code"),
    "event": partial(_record_values, Event, "name"),
    "attribute": _attribute_names,
    "property": _property_names,
    "attribute_value": _attribute_values,
}
