"""How many attributes a customer has. Part of ``customers.ingestion.writer``, the only writer of customers.

Those of files and the API come first, then those that a server told, then those that nobody but browsers told, who
may date them as they like; of each the ones told earliest, of the same time by name. So which are kept follows from
all that was said, in whatever order it arrives.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from core.db import dialect, execution
from core.values import sortable_values
from customers.models import Customer, Traits

MAX_ATTRIBUTES: Final = 200
_SERVERS_FIRST: Final = "!"  # before any digit
TOO_MANY_ATTRIBUTES: Final = (
    f"attributes: a customer has at most {MAX_ATTRIBUTES}; the ones told first are kept"
)


def attribute_sort_key(at: str, *, by_server: bool) -> str:
    """Return what a telling sorts by: those of servers before those of browsers, the earliest first."""
    return f"{_SERVERS_FIRST if by_server else ''}{at}"


def first_sort_key(told: Sequence[Any]) -> str:
    """Return what a field's first telling sorts by, as ``customers.tracking.profiles`` keeps it."""
    return str(told[4] if len(told) > 4 and told[4] else attribute_sort_key(told[1], by_server=told[3]))


def names_to_keep(first: Mapping[str, str]) -> set[str]:
    """Return the names to keep, of names with what the first telling of each sorts by."""
    return set(sorted(first, key=lambda name: (first[name], name))[:MAX_ATTRIBUTES])


def enforce_attribute_limit(staged: str) -> list[int]:
    """Leave out what staged customers, who are written already, have too many of; return their lines."""
    count = f"(SELECT count(*) FROM {dialect.json_object_items_sql('c.attributes_comparable')})"
    crowded = execution.fetch_all(
        f"""SELECT s.customer, s.line FROM {staged} s JOIN customers_customer c ON c.id = s.customer
            WHERE s.attributes <> '{{}}' AND {count} > {MAX_ATTRIBUTES} ORDER BY s.line"""
    )
    for part in execution.batches([customer for customer, _ in crowded]):
        _cut(part)
    return [line for _, line in crowded]


def _cut(customers: Iterable[int]) -> None:
    first: dict[int, dict[str, str]] = {}
    for customer, fields in Traits.objects.filter(identity__customer__in=customers).values_list(
        "identity__customer_id", "told"
    ):
        of_customer = first.setdefault(customer, {})
        for name, told in fields.items():
            of_customer[name] = min(first_sort_key(told), of_customer.get(name, "~"))
    rows = list(Customer.objects.filter(pk__in=customers).only("attributes", "attributes_comparable"))
    for row in rows:
        of_messages = first.get(row.pk, {})
        names = names_to_keep({name: of_messages.get(name, "") for name in row.attributes})
        keys = {sortable_values.json_key(name) for name in names}
        row.attributes = {name: value for name, value in row.attributes.items() if name in names}
        row.attributes_comparable = {
            key: value for key, value in row.attributes_comparable.items() if key in keys
        }
    Customer.objects.bulk_update(rows, ["attributes", "attributes_comparable"], batch_size=100)
