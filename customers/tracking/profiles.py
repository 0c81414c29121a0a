"""What customers look like: from all that was told of them, under which id, when, and by whom.

The only writer of ``Traits``. Of each field the latest message counts, and what was told under a customer id counts
more than what was told of a browser: the known side wins, the other one fills its blanks. As all of it is kept with
its times, neither the order in which messages arrive nor that of joins matters. What came from a file or the API
stays until a newer message says otherwise.
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
    """A value, as it is kept in JSON: when it was told, by which message, and whether by a server.

    Of an attribute it also says when any value was told first.
    """

    value: str
    at: str
    message_id: str
    by_server: bool
    first_at: str = ""


@dataclass(frozen=True, slots=True)
class TraitUpdate:
    """What one message tells of the customer of an identity."""

    identity: int
    told: Mapping[str, str]
    at: datetime
    message_id: str
    by_server: bool


@dataclass(frozen=True, slots=True)
class _EffectiveValue:
    """What counts of a field; ``fills`` if it may take the place of nothing but a blank."""

    value: str
    fills: bool
    by_server: bool = True


def apply_trait_updates(
    tellings: Sequence[TraitUpdate], moved: Mapping[int, int | None], now: datetime
) -> set[int]:
    """Keep what messages tell, and bring those customers in line whom it is about.

    Return the identities that told more attributes than a customer has, for the first time.

    ``moved`` names identities that lead elsewhere than before, with the customer of before; None where nothing of
    what they told stands there any more.
    """
    about = {one.identity for one in tellings} | moved.keys()
    kept = _load_traits(about, moved)
    before = kept.best_of_each(moved)
    crowded = {one.identity for one in tellings if not kept.tell(one)}
    Traits.objects.bulk_create(
        (Traits(identity_id=key, told=kept.told[key]) for key in sorted({one.identity for one in tellings})),
        update_conflicts=True,
        unique_fields=["identity"],
        update_fields=["told"],
    )
    after = kept.best_of_each({})
    customers = _write_customers(before, after, now)
    crowded |= {
        one.identity for one in tellings if _is_crowded(one, kept.leads[one.identity], after, customers)
    }
    crowded -= kept.complained
    for part in batches(sorted(crowded)):
        Traits.objects.filter(identity__in=part).update(is_crowded=True)
    return crowded


def _is_crowded(
    telling: TraitUpdate,
    customer: int,
    after: Mapping[int, Mapping[str, _EffectiveValue]],
    cut: Collection[int],
) -> bool:
    told = {name for name in telling.told if _is_attribute(name)}
    return bool(told) and (customer in cut or not told <= after[customer].keys())


def _is_attribute(name: str) -> bool:
    return name not in _COLUMNS and name not in CONTEXT_COLUMNS


class _StoredTraits:
    """The traits of all identities of some customers."""

    def __init__(self) -> None:
        self.told: dict[int, dict[str, Sequence[Any]]] = {}
        self.leads: dict[int, int] = {}
        self.has_customer_id: set[int] = set()
        self.complained: set[int] = set()

    def tell(self, telling: TraitUpdate) -> bool:
        """Keep what was told; return whether there was room for all of it."""
        known = self.told.setdefault(telling.identity, {})
        at = telling.at.astimezone(UTC).isoformat(timespec="microseconds")
        for name, value in telling.told.items():
            new = TraitValue(value, at, telling.message_id, telling.by_server)
            first = attribute_limit.attribute_sort_key(at, by_server=telling.by_server)
            if name in known:
                first = min(first, attribute_limit.first_sort_key(known[name]))
            if name not in known or _outranks(name, new, TraitValue(*known[name])):
                known[name] = new
            if _is_attribute(name):
                known[name] = TraitValue(*known[name])._replace(first_at=first)
        first_told = {
            name: attribute_limit.first_sort_key(told) for name, told in known.items() if _is_attribute(name)
        }
        beyond = first_told.keys() - attribute_limit.names_to_keep(first_told)
        for name in beyond:
            del known[name]
        return not beyond

    def best_of_each(self, moved: Mapping[int, int | None]) -> dict[int, dict[str, _EffectiveValue]]:
        """Give what counts for each customer, with the moved identities where they led before."""
        candidates: dict[int, dict[str, list[tuple[Any, ...]]]] = defaultdict(lambda: defaultdict(list))
        for key, told in self.told.items():
            for name, kept in told.items():
                one, is_own = TraitValue(*kept), key in self.has_customer_id
                if (customer := moved.get(key, self.leads[key])) is not None:
                    candidates[customer][name].append((_rank(name, one, is_own=is_own), one, is_own))
        return {
            customer: _with_context_columns(
                {name: _effective_value(name, ones) for name, ones in _within_attribute_limit(fields)}
            )
            for customer, fields in candidates.items()
        }


def _load_traits(about: Iterable[int], moved: Mapping[int, int | None]) -> _StoredTraits:
    kept = _StoredTraits()
    customers = {customer for customer in moved.values() if customer is not None}
    for part in batches([*about]):
        customers |= set(Identity.objects.filter(pk__in=part).values_list("customer_id", flat=True))
    for part in batches([*customers]):
        for key, customer, kind, told, is_crowded in Identity.objects.filter(customer__in=part).values_list(
            "pk", "customer_id", "kind", "traits__told", "traits__is_crowded"
        ):
            kept.leads[key] = customer
            if kind == CUSTOMER_ID:
                kept.has_customer_id.add(key)
            if told:
                kept.told[key] = told
            if is_crowded:
                kept.complained.add(key)
    return kept


def _within_attribute_limit(
    fields: Mapping[str, list[tuple[Any, ...]]],
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Leave out the attributes that a customer has no room for."""
    first = {
        name: min(attribute_limit.first_sort_key(told) for _, told, _ in ones)
        for name, ones in fields.items()
        if _is_attribute(name)
    }
    kept = attribute_limit.names_to_keep(first)
    for name, ones in fields.items():
        if name not in first or name in kept:
            yield name, ones


def _outranks(name: str, new: TraitValue, old: TraitValue) -> bool:
    if name in CONTACT_FIELDS and new.by_server != old.by_server:
        return new.by_server
    return _rank(name, new, is_own=True) > _rank(name, old, is_own=True)


def _rank(name: str, told: TraitValue, *, is_own: bool) -> tuple[Any, ...]:
    """Give what sorts highest for the telling that counts."""
    if name in EARLIEST_WINS:
        return _earliest_key(told.at if name == UTM_SOURCE else told.value, told.message_id)
    if (
        name in CONTACT_FIELDS and not told.by_server
    ):  # a browser fills what is not known, and then it is known
        return False, is_own, _earliest_key(told.at, told.message_id)
    return True, is_own, told.at, told.message_id


def _earliest_key(instant: str, message_id: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in instant + message_id)


def _effective_value(name: str, candidates: list[tuple[Any, ...]]) -> _EffectiveValue:
    _, told, is_own = max(candidates, key=lambda one: one[0])
    fills = name in CONTEXT_COLUMNS or not is_own or (name in CONTACT_FIELDS and not told.by_server)
    return _EffectiveValue(told.value, fills, told.by_server)


def _with_context_columns(fields: dict[str, _EffectiveValue]) -> dict[str, _EffectiveValue]:
    for name, column in CONTEXT_COLUMNS.items():
        if name in fields:
            fields.setdefault(column, fields[name])
    return {name: best for name, best in fields.items() if name not in CONTEXT_COLUMNS}


# -- Writing what counts


def _write_customers(
    before: Mapping[int, Mapping[str, _EffectiveValue]],
    after: Mapping[int, Mapping[str, _EffectiveValue]],
    now: datetime,
) -> set[int]:
    """Write what counts; return the customers whose attributes were too many."""
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
            gone = [name for name in old if name not in new and _holds(customer, name, old[name].value)]
            if gone:
                cleared[customer.pk] = gone
    printed = dict(Customer.objects.filter(pk__in=[key for key, _ in rows]).values_list("pk", "customer_id"))
    numbered = [(place, (printed[key], *record[1:])) for place, (key, record) in enumerate(rows)]
    if cleared:
        customer_writer.clear_fields(cleared)
    if numbered:
        outcome = writer.ingest(CUSTOMERS, numbered, now, source="tracking", notify=False, trusts_ids=False)
        assert not outcome.rejected
        customer_writer.mark_addresses_untrusted(by_browser)
        return {rows[place][0] for place in outcome.over_attribute_limit}
    return set()


def _with_imported_first_seen(
    customer: Customer, told: Mapping[str, _EffectiveValue]
) -> Mapping[str, _EffectiveValue]:
    """Let what a file or the API gave of when a customer was first seen count with what messages tell: the earliest."""
    if customer.first_seen_given is None:
        return told
    given = _EffectiveValue(_isoformat(customer.first_seen_given), fills=False)
    earliest = min(given, told.get("first_seen", given), key=lambda one: one.value)
    return {**told, "first_seen": earliest}


def _may_write(customer: Customer, name: str, best: _EffectiveValue, old: _EffectiveValue | None) -> bool:
    current = _stored_value(customer, name)
    if not current or (old is not None and current == old.value):
        return True
    return best.value < current if name == "first_seen" else not best.fills


def _holds(customer: Customer, name: str, value: str) -> bool:
    return _stored_value(customer, name) == value


def _stored_value(customer: Customer, name: str) -> str:
    """Give what a customer's row holds, in the words in which it is told."""
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
