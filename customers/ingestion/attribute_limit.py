"""The limit on attributes of a customer. Part of ``customers.ingestion.writer``.

Attributes of files and the API are kept first, then those of servers, then those of browsers, which may send any date.
Within each group the earliest are kept; at the same time, the first by name. So the result does not depend on the
order in which records arrive.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from core.db import dialect, execution
from core.values import sortable_values
from customers.models import Customer, Traits

MAX_ATTRIBUTES: Final = 200
_SERVERS_FIRST: Final = "!"  # before any digit
TOO_MANY_ATTRIBUTES: Final = (
    f"attributes: a customer has at most {MAX_ATTRIBUTES}; the earliest ones are kept"
)


def attribute_sort_key(at: str, *, by_server: bool) -> str:
    """Return the sort key of a trait: servers before browsers, then the earliest first."""
    return f"{_SERVERS_FIRST if by_server else ''}{at}"


def first_sort_key(stored: Sequence[Any]) -> str:
    """Return the sort key of the first message with a trait, as ``customers.tracking.profiles`` stores it."""
    return str(
        stored[4] if len(stored) > 4 and stored[4] else attribute_sort_key(stored[1], by_server=stored[3])
    )


def names_to_keep(first: Mapping[str, str]) -> set[str]:
    """Return the names to keep, from names with their sort keys."""
    return set(sorted(first, key=lambda name: (first[name], name))[:MAX_ATTRIBUTES])


def enforce_attribute_limit(staged: str) -> list[int]:
    """Remove attributes above the limit from staged customers that are already written; return their lines."""
    count = f"(SELECT count(*) FROM {dialect.json_object_items_sql('c.attributes_comparable')})"
    over_limit = execution.fetch_all(
        f"""SELECT c.id FROM customers_customer c
            WHERE c.id IN (SELECT customer FROM {staged} WHERE attributes <> '{{}}')
                AND {count} > {MAX_ATTRIBUTES}"""
    )
    if not over_limit:
        return []
    customers = {customer for (customer,) in over_limit}
    for part in execution.batches([*customers]):
        _remove_attributes_over_limit(part)
    rows = execution.fetch_all(
        f"SELECT customer, line FROM {staged} WHERE attributes <> '{{}}' ORDER BY line"
    )
    return [line for customer, line in rows if customer in customers]


def _remove_attributes_over_limit(customers: Iterable[int]) -> None:
    first: dict[int, dict[str, str]] = {}
    for customer, fields in Traits.objects.filter(identity__customer__in=customers).values_list(
        "identity__customer_id", "values"
    ):
        sort_keys = first.setdefault(customer, {})
        for name, stored in fields.items():
            sort_keys[name] = min(first_sort_key(stored), sort_keys.get(name, "~"))
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
