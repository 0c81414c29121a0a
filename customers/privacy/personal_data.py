"""Export and erasure of all data about a customer. The only writer of ``Erasure``.

Apps above this one store data about customers, too. Each registers a section, which is exported and erased with the
rest, in one transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet

from core.api import idempotent_responses
from core.models import IdempotentResponse
from core.wakeup import notify_on_commit
from customers.consent import addresses
from customers.facts import relations, update
from customers.identity import tombstones
from customers.ingestion import customer_writer
from customers.models import Customer, Erasure, Event, Identity, Order, lines_of
from customers.signals import records_changed

from .mentions import Mentions

MAX_NAMED_CUSTOMERS: Final = 100  # customers who share an address


class AlreadyErased(LookupError):
    """The customer no longer exists."""


@dataclass(frozen=True)
class Section:
    """What an app stores about customers.

    ``export`` returns it as JSON. ``erase`` gets the primary keys of all rows of the customer, which may be several,
    and the instant. ``lock`` takes the locks of the section, before anything else is locked or read.
    """

    export: Callable[[Customer], Any]
    erase: Callable[[Sequence[int], datetime], None]
    lock: Callable[[], None]


_sections: dict[str, Section] = {}


def register_section(name: str, section: Section) -> None:
    """Register a section, which is exported under a name and erased with the customer."""
    if name in _OWN_SECTIONS or name in _sections:
        raise ValueError(f"there is a section {name!r} already")
    _sections[name] = section


def export_customer(customer: Customer, at: datetime) -> dict[str, Any]:
    """Return all data about a customer as JSON: texts, numbers, lists and objects."""
    data: dict[str, Any] = {"exported_at": at.isoformat()}
    data |= {name: export(customer) for name, export in _OWN_SECTIONS.items()}
    return data | {name: section.export(customer) for name, section in _sections.items()}


def erase_customer(customer: Customer, at: datetime, *, by: str = "") -> Erasure:
    """Erase a customer and all data about them in one transaction. Return what remains, which identifies nobody.

    ``by`` says who requested it. Raises AlreadyErased if somebody else was faster.
    """
    with transaction.atomic():
        # Always lock in this order: refreshes, facts, records.
        for section in _sections.values():
            section.lock()
        with update.lock_facts():
            tombstones.lock_exclusive()
            keys = _rows_of(customer)
            orders, events = Order.objects.filter(customer__in=keys), Event.objects.filter(customer__in=keys)
            erasure = Erasure(at=at, by=by[:150], orders=orders.count(), events=events.count())
            tombstones.create_tombstones(
                [
                    *Identity.objects.filter(customer__in=keys).values_list("kind", "value"),
                    # Not of drafts: anybody can send the id of an order that somebody else will place.
                    *(
                        (tombstones.ORDER_ID, value)
                        for value in orders.filter(is_draft=False).values_list("order_id", flat=True)
                    ),
                    *(
                        (tombstones.BROWSER_MESSAGE_ID if is_from_browser else tombstones.MESSAGE_ID, value)
                        for value, is_from_browser in events.values_list("message_id", "is_from_browser")
                    ),
                ],
                at,
            )
            for section in _sections.values():
                section.erase(keys, at)
            _anonymize_audit_log(keys)
            idempotent_responses.erase_bodies([one.name for one in _responses_naming(keys)])
            update.delete_facts(keys)
            addresses.anonymize_addresses(keys)
            customer_writer.delete_customers(keys)
        erasure.save()
        notify_on_commit(records_changed)
    return erasure


def _rows_of(customer: Customer) -> list[int]:
    """Return the primary keys of the customer and of the visitors that were merged into it."""
    rows = Customer.objects.filter(pk=customer.merged_into_id or customer.pk)
    keys: list[int] = []
    while found := list(rows.exclude(pk__in=keys).values_list("pk", flat=True)):
        keys += found
        rows = Customer.objects.filter(merged_into__in=found)
    if not keys:
        raise AlreadyErased(customer.customer_id)
    return keys


def customers_sharing_addresses(customer: Customer) -> list[str]:
    """Return the ids of other customers with the same e-mail address or phone number: they may be the same person.

    They are not erased, since families and workplaces share addresses, too. Staff decide.
    """
    keys = _rows_of(customer)
    mentions = Mentions.collect(keys)
    phones = [f"+{digits}" for digits in mentions.phones]
    named = Identity.objects.filter(
        Q(kind=Identity.Kind.EMAIL, value__in=mentions.emails) | Q(kind=Identity.Kind.PHONE, value__in=phones)
    ).values_list("customer_id", flat=True)
    same = Q(pk__in=list(named)) | Q(email__in=mentions.emails) | Q(phone__in=phones)
    others = Customer.objects.existing().filter(same).exclude(pk__in=keys).order_by("customer_id")
    return list(others.values_list("customer_id", flat=True)[:MAX_NAMED_CUSTOMERS])


def _responses_naming(keys: Sequence[int]) -> list[IdempotentResponse]:
    """Return the stored responses to API requests that name a person."""
    mentions = Mentions.collect(keys)
    return [
        one
        for one in IdempotentResponse.objects.order_by("began_at").iterator()
        if mentions.in_json(one.body) or any(mentions.in_url(value) for value in one.headers.values())
    ]


def _anonymize_audit_log(keys: Sequence[int]) -> None:
    """Keep the audit log's entries about the customer, without their name."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Customer), object_id__in=map(str, keys)
    )
    entries.update(object_repr="an erased customer")


# -- Export


def _customer(customer: Customer) -> dict[str, Any]:
    hidden = ("id", "merged_into", "birthday", "attributes_comparable", "search_text")
    return {
        field.name: _plain(getattr(customer, field.name))
        for field in Customer._meta.concrete_fields
        if field.name not in hidden and not field.name.endswith(("_folded", "_unaccented"))
    }


def _identities(customer: Customer) -> list[dict[str, Any]]:
    return _rows(customer.identities.order_by("pk"), "kind", "value")


def _consent(customer: Customer) -> list[dict[str, Any]]:
    return _rows(customer.consent_changes.order_by("pk"), "state", "at", "source", "address", "asked_at")


def _orders(customer: Customer) -> list[dict[str, Any]]:
    columns = ("order_id", "placed_at", "status", "total", "discount_total", "refunded_total", "currency",
               "coupon_code", "is_draft")  # fmt: skip
    orders = customer.orders.order_by("placed_at", "pk").prefetch_related(lines_of(customer))
    return [
        {name: _plain(getattr(order, name)) for name in columns}
        | {
            "lines": [
                {
                    name: _plain(getattr(line, name))
                    for name in ("sku", "name", "category", "brand", "quantity", "unit_price")
                }
                for line in order.lines.all()
            ]
        }
        for order in orders
    ]


def _events(customer: Customer) -> list[dict[str, Any]]:
    return _rows(
        customer.events.order_by("occurred_at", "pk"), "message_id", "name", "occurred_at", "properties"
    )


def _idempotent_responses(customer: Customer) -> list[dict[str, Any]]:
    return [
        {"began_at": one.began_at.isoformat(), "body": one.body}
        for one in _responses_naming(_rows_of(customer))
    ]


def _facts(customer: Customer) -> dict[str, Any]:
    row = relations.facts_of_customer(customer, datetime.now(UTC))
    return {name: _plain(value) for name, value in relations.facts_as_dict(row).items()} if row else {}


def _rows(rows: QuerySet[Any, Any], *columns: str) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in rows.values(*columns)]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str() | dict() | list():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat()
    return str(value)


_OWN_SECTIONS: dict[str, Callable[[Customer], Any]] = {
    "customer": _customer,
    "identities": _identities,
    "consent": _consent,
    "orders": _orders,
    "events": _events,
    "facts": _facts,
    "api_responses": _idempotent_responses,
    "sharing_addresses": customers_sharing_addresses,
}
