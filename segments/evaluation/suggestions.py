"""Suggestions for the rule editor: the most frequent values of the shop's newest records.

Only the newest records are read, so the answer is fast in a shop of any size.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from django.db.models import Count, Max, Model, QuerySet

from core.values import sortable_values
from customers.models import Customer, Event, Order, OrderLine

MAX_SUGGESTIONS = 20
MAX_RECORDS, MAX_DOCUMENTS = 100_000, 2_000
MAX_SEARCH_LENGTH = 100


def suggest_values(kind: str, part: str = "", name: str = "") -> list[str]:
    """Return values of a kind that contain ``part``. ``name`` is the name of the attribute for ``attribute_value``.

    Raises KeyError if the kind is unknown.
    """
    return _KINDS[kind](part.strip()[:MAX_SEARCH_LENGTH], name)


def _column_values(model: type[Model], column: str, part: str, _: str) -> list[str]:
    values = _newest(model, MAX_RECORDS).exclude(**{column: ""}).values_list(column)
    if part:
        values = values.filter(**{f"{column}__icontains": part})
    return [
        str(value)
        for value, _ in values.annotate(times=Count("pk")).order_by("-times", column)[:MAX_SUGGESTIONS]
    ]


def _newest(model: type[Model], count: int) -> QuerySet[Any]:
    last = model._default_manager.aggregate(last=Max("pk"))["last"] or 0
    return model._default_manager.filter(pk__gt=last - count)


def _names(model: type[Model], column: str, part: str, _: str) -> list[str]:
    return _most_frequent((name for document in _documents(model, column) for name in document), part)


def _attribute_values(part: str, name: str) -> list[str]:
    attributes = (document.get(name) for document in _documents(Customer, "attributes"))
    listed = (value if isinstance(value, list) else [value] for value in attributes)
    return _most_frequent((value for values in listed for value in values if isinstance(value, str)), part)


def _documents(model: type[Model], column: str) -> Iterable[dict[str, Any]]:
    values = (
        _newest(model, MAX_RECORDS).exclude(**{column: {}}).order_by("-pk").values_list(column, flat=True)
    )
    return values[:MAX_DOCUMENTS]


def _most_frequent(values: Iterable[str], part: str) -> list[str]:
    counted = Counter(
        value for value in values if sortable_values.fold_case(part) in sortable_values.fold_case(value)
    )
    return [value for value, _ in counted.most_common(MAX_SUGGESTIONS)]


_KINDS: Mapping[str, Callable[[str, str], list[str]]] = {
    **{name: partial(_column_values, Customer, name) for name in ("country", "city", "language", "source")},
    **{name: partial(_column_values, OrderLine, name) for name in ("sku", "name", "category", "brand")},
    "coupon": partial(_column_values, Order, "coupon_code"),
    "event": partial(_column_values, Event, "name"),
    "attribute": partial(_names, Customer, "attributes"),
    "property": partial(_names, Event, "properties"),
    "attribute_value": _attribute_values,
}
