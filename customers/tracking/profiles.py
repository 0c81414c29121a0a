"""Profile data of messages: the value of each field, from the traits of all identities of a customer.

The only writer of ``Traits``. For each field the latest message counts. Values under a customer id take precedence;
values of a browser id fill empty fields. All values are stored with their times, so the order in which messages arrive
and profiles are merged does not matter. Values of a file or the API stay until a newer message changes them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from core.db.execution import batches
from core.values import sortable_values
from customers.identity.lookup import CUSTOMER_ID
from customers.ingestion import attribute_limit, customer_writer, writer
from customers.models import Customer, Identity, Traits
from customers.rows.kinds import CUSTOMERS
from customers.rows.parsing import read_customer
from customers.rows.settings import shop_settings

from .traits import CONTEXT_COLUMNS, UTM_SOURCE

CONTACT_FIELDS: Final = frozenset({"email", "phone", "first_name", "last_name", "birth_date"})
EARLIEST_WINS: Final = frozenset({"first_seen", "subscribed_at", UTM_SOURCE})
_COLUMNS: Final = frozenset(CUSTOMERS.csv_columns)


class TraitValue(NamedTuple):
    """A value of a trait, as it is stored in JSON, with the time and id of its message.

    ``first_at`` is only set for attributes: it sorts by the first message with any value of the attribute.
    """

    value: str
    at: str
    message_id: str
    by_server: bool
    first_at: str = ""


@dataclass(frozen=True, slots=True)
class TraitUpdate:
    """The traits in one message about an identity."""

    identity: int
    values: Mapping[str, str]
    at: datetime
    message_id: str
    by_server: bool


@dataclass(frozen=True, slots=True)
class _EffectiveValue:
    """The value of a field that counts. If ``fills``, it may only replace an empty value."""

    value: str
    fills: bool
    by_server: bool = True


def apply_trait_updates(
    updates: Sequence[TraitUpdate], moved: Mapping[int, int | None], at: datetime
) -> set[int]:
    """Store the traits of messages, and update the customers of their identities and of ``moved`` ones.

    Return the identities that exceed the limit of attributes for the first time.

    ``moved`` maps identities that belong to another customer now to their former customer, or to None if that customer
    has none of their values any more.
    """
    about = {update.identity for update in updates} | moved.keys()
    stored = _load_traits(about, moved)
    before = stored.effective_values(moved)
    over_limit = {update.identity for update in updates if not stored.apply(update)}
    Traits.objects.bulk_create(
        (
            Traits(identity_id=key, values=stored.by_identity[key])
            for key in sorted({update.identity for update in updates})
        ),
        update_conflicts=True,
        unique_fields=["identity"],
        update_fields=["values"],
    )
    after = stored.effective_values({})
    customers = _write_customers(before, after, at)
    over_limit |= {
        update.identity
        for update in updates
        if _exceeds_limit(update, stored.customers[update.identity], after, customers)
    }
    over_limit -= stored.limit_reported
    for part in batches(sorted(over_limit)):
        Traits.objects.filter(identity__in=part).update(attribute_limit_reported=True)
    return over_limit


def _exceeds_limit(
    update: TraitUpdate,
    customer: int,
    after: Mapping[int, Mapping[str, _EffectiveValue]],
    shortened: Collection[int],
) -> bool:
    attributes = {name for name in update.values if _is_attribute(name)}
    return bool(attributes) and (customer in shortened or not attributes <= after[customer].keys())


def _is_attribute(name: str) -> bool:
    return name not in _COLUMNS and name not in CONTEXT_COLUMNS


class _StoredTraits:
    """The traits of all identities of some customers."""

    def __init__(self) -> None:
        self.by_identity: dict[int, dict[str, Sequence[Any]]] = {}
        self.customers: dict[int, int] = {}
        self.has_customer_id: set[int] = set()
        self.limit_reported: set[int] = set()

    def apply(self, update: TraitUpdate) -> bool:
        """Store the traits of a message. Return False if some exceed the limit of attributes."""
        known = self.by_identity.setdefault(update.identity, {})
        at = update.at.astimezone(UTC).isoformat(timespec="microseconds")
        for name, value in update.values.items():
            new = TraitValue(value, at, update.message_id, update.by_server)
            first = attribute_limit.attribute_sort_key(at, by_server=update.by_server)
            if name in known:
                first = min(first, attribute_limit.first_sort_key(known[name]))
            if name not in known or _outranks(name, new, TraitValue(*known[name])):
                known[name] = new
            if _is_attribute(name):
                known[name] = TraitValue(*known[name])._replace(first_at=first)
        sort_keys = {
            name: attribute_limit.first_sort_key(value)
            for name, value in known.items()
            if _is_attribute(name)
        }
        beyond = sort_keys.keys() - attribute_limit.names_to_keep(sort_keys)
        for name in beyond:
            del known[name]
        return not beyond

    def effective_values(self, moved: Mapping[int, int | None]) -> dict[int, dict[str, _EffectiveValue]]:
        """Return the values that count for each customer. Moved identities belong to their former customers."""
        candidates: dict[int, dict[str, list[tuple[Any, ...]]]] = defaultdict(lambda: defaultdict(list))
        for key, values in self.by_identity.items():
            for name, kept in values.items():
                value, is_own = TraitValue(*kept), key in self.has_customer_id
                if (customer := moved.get(key, self.customers[key])) is not None:
                    candidates[customer][name].append((_rank(name, value, is_own=is_own), value, is_own))
        return {
            customer: _with_context_columns(
                {name: _effective_value(name, ranked) for name, ranked in _within_attribute_limit(fields)}
            )
            for customer, fields in candidates.items()
        }


def _load_traits(about: Iterable[int], moved: Mapping[int, int | None]) -> _StoredTraits:
    stored = _StoredTraits()
    customers = {customer for customer in moved.values() if customer is not None}
    for part in batches([*about]):
        customers |= set(Identity.objects.filter(pk__in=part).values_list("customer_id", flat=True))
    for part in batches([*customers]):
        for key, customer, kind, values, limit_reported in Identity.objects.filter(
            customer__in=part
        ).values_list("pk", "customer_id", "kind", "traits__values", "traits__attribute_limit_reported"):
            stored.customers[key] = customer
            if kind == CUSTOMER_ID:
                stored.has_customer_id.add(key)
            if values:
                stored.by_identity[key] = values
            if limit_reported:
                stored.limit_reported.add(key)
    return stored


def _within_attribute_limit(
    fields: Mapping[str, list[tuple[Any, ...]]],
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Skip the attributes beyond the limit of a customer."""
    first = {
        name: min(attribute_limit.first_sort_key(value) for _, value, _ in ranked)
        for name, ranked in fields.items()
        if _is_attribute(name)
    }
    kept = attribute_limit.names_to_keep(first)
    for name, ranked in fields.items():
        if name not in first or name in kept:
            yield name, ranked


def _outranks(name: str, new: TraitValue, old: TraitValue) -> bool:
    if name in CONTACT_FIELDS and new.by_server != old.by_server:
        return new.by_server
    return _rank(name, new, is_own=True) > _rank(name, old, is_own=True)


def _rank(name: str, trait: TraitValue, *, is_own: bool) -> tuple[Any, ...]:
    """Return a sort key: the value that counts has the highest."""
    if name in EARLIEST_WINS:
        return _earliest_key(trait.at if name == UTM_SOURCE else trait.value, trait.message_id)
    if name in CONTACT_FIELDS and not trait.by_server:  # the first value of a browser fills an empty field
        return False, is_own, _earliest_key(trait.at, trait.message_id)
    return True, is_own, trait.at, trait.message_id


def _earliest_key(instant: str, message_id: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in instant + message_id)


def _effective_value(name: str, candidates: list[tuple[Any, ...]]) -> _EffectiveValue:
    _, trait, is_own = max(candidates, key=lambda one: one[0])
    fills = name in CONTEXT_COLUMNS or not is_own or (name in CONTACT_FIELDS and not trait.by_server)
    return _EffectiveValue(trait.value, fills, trait.by_server)


def _with_context_columns(fields: dict[str, _EffectiveValue]) -> dict[str, _EffectiveValue]:
    for name, column in CONTEXT_COLUMNS.items():
        if name in fields:
            fields.setdefault(column, fields[name])
    return {name: best for name, best in fields.items() if name not in CONTEXT_COLUMNS}


# -- Writing customers


def _write_customers(
    before: Mapping[int, Mapping[str, _EffectiveValue]],
    after: Mapping[int, Mapping[str, _EffectiveValue]],
    at: datetime,
) -> set[int]:
    """Write the values that count. Return the customers with too many attributes."""
    changed = [key for key in {*before, *after} if before.get(key) != after.get(key)]
    rows: list[tuple[int, Any]] = []
    cleared: dict[int, list[str]] = {}
    by_browser: list[int] = []
    shop = shop_settings()
    for part in batches(sorted(changed)):
        for customer in Customer.objects.existing().filter(pk__in=part):
            old, new = (
                _with_imported_first_seen(customer, best.get(customer.pk, {})) for best in (before, after)
            )
            cells = {
                name: best.value
                for name, best in new.items()
                if best != old.get(name) and _may_write(customer, name, best, old.get(name))
            }
            if cells:
                rows.append((customer.pk, read_customer({"customer_id": "-", **cells}, shop)))
                if "email" in cells and not new["email"].by_server:
                    by_browser.append(customer.pk)
            removed = [name for name in old if name not in new and _holds(customer, name, old[name].value)]
            if removed:
                cleared[customer.pk] = removed
    public_ids = dict(
        Customer.objects.filter(pk__in=[key for key, _ in rows]).values_list("pk", "customer_id")
    )
    numbered = [(index, (public_ids[key], *record[1:])) for index, (key, record) in enumerate(rows)]
    if cleared:
        customer_writer.clear_fields(cleared)
    if numbered:
        outcome = writer.ingest(CUSTOMERS, numbered, at, source="tracking", notify=False, trusts_ids=False)
        assert not outcome.rejected
        customer_writer.mark_addresses_untrusted(by_browser)
        return {rows[index][0] for index in outcome.over_attribute_limit}
    return set()


def _with_imported_first_seen(
    customer: Customer, values: Mapping[str, _EffectiveValue]
) -> Mapping[str, _EffectiveValue]:
    """Return the values with the earliest ``first_seen`` of messages, files and the API."""
    if customer.first_seen_given is None:
        return values
    given = _EffectiveValue(_isoformat(customer.first_seen_given), fills=False)
    earliest = min(given, values.get("first_seen", given), key=lambda one: one.value)
    return {**values, "first_seen": earliest}


def _may_write(customer: Customer, name: str, best: _EffectiveValue, old: _EffectiveValue | None) -> bool:
    current = _stored_value(customer, name)
    if not current or (old is not None and current == old.value):
        return True
    return best.value < current if name == "first_seen" else not best.fills


def _holds(customer: Customer, name: str, value: str) -> bool:
    return _stored_value(customer, name) == value


def _stored_value(customer: Customer, name: str) -> str:
    """Return the stored value of a field as text, as a trait would have it."""
    if name not in _COLUMNS:
        value = customer.attributes.get(name)
        if isinstance(value, list):
            return sortable_values.list_as_json(value)
        return "" if value is None else str(value)
    value = getattr(customer, name)
    if isinstance(value, datetime):
        return _isoformat(value)
    return "" if value is None else str(value)


def _isoformat(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
