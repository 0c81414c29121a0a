"""Dates of attributes are midnight in the shop's time zone. After a change of it, they are read again.

This goes through all customers with such dates, by ranges, and continues where it was interrupted. While a file is
being imported, which may have begun before the change, it does not end.
"""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction

from core.db.sql import Sql
from core.shop import shop
from core.values import sortable_values
from core.wakeup import notify_on_commit
from customers.facts import queue
from customers.identity import identity_locks
from customers.models import AttributeDates, Customer, DatedAttribute, Import
from customers.signals import records_changed

from .customer_writer import store_dated_attributes

BATCH_SIZE: Final = 1_000  # customers in one transaction


def reread_dates() -> int:
    """Read the dates of attributes in the shop's time zone, unless that is done. Return how many customers changed.

    They are evaluated by the next refresh.
    """
    changed = 0
    while (changed_now := _next_customers()) is not None:
        changed += changed_now
    return changed


def _next_customers() -> int | None:
    """Read the dates of the next customers, and return how many of them changed; None if all are read."""
    with transaction.atomic():
        zone = shop().zone
        state = AttributeDates.objects.select_for_update().first() or AttributeDates()
        if state.time_zone != zone.key:
            state.time_zone, state.read_until, state.is_complete = zone.key, 0, False
        if state.is_complete:
            return None
        dated = DatedAttribute.objects.filter(customer_id__gt=state.read_until).order_by("customer_id")
        keys = list(dated.values_list("customer_id", flat=True).distinct()[:BATCH_SIZE])
        if not keys and Import.objects.filter(state=Import.State.RUNNING).exists():
            # It may have begun in the former time zone, so all dates are read once more after it.
            state.read_until = 0
            state.save()
            return None
        changed = _reread(keys, zone) if keys else 0
        state.read_until, state.is_complete = max(keys, default=state.read_until), not keys
        state.save()
        if changed:
            notify_on_commit(records_changed)
    return changed


def _reread(keys: Sequence[int], zone: ZoneInfo) -> int:
    its = Sql(", ".join(map(str, keys)))
    identity_locks.lock_customers(its.text)
    changed = []
    for customer in Customer.objects.filter(pk__in=keys).only("attributes", "attributes_comparable"):
        encoded = dict(customer.attributes_comparable)
        for name, value in customer.attributes.items():
            key = sortable_values.json_key(name)
            if isinstance(value, str) and encoded.get(key, "").startswith(sortable_values.DATETIME):
                encoded[key] = sortable_values.parse_attribute(value, zone)[1]
        if encoded != customer.attributes_comparable:
            Customer.objects.filter(pk=customer.pk).update(attributes_comparable=encoded)
            changed.append(customer.pk)
    if changed:
        which = Sql(", ".join(map(str, changed)))
        store_dated_attributes(which)
        queue.queue_for_evaluation(Sql(f"SELECT id FROM customers_customer WHERE id IN ({which.text})"))
    return len(changed)
