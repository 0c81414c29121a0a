"""The shop's public doors, for tests: files go in through the import, answers come out of the commands."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models
from django.db.models import Sum

from customers.facts import relations, totals, update
from customers.imports import csv_files
from customers.ingestion.results import RejectedRow
from customers.models import (
    Customer,
    Event,
    EventProduct,
    Facts,
    FactsAsOf,
    Identity,
    Order,
    OrderLine,
)
from customers.rows.kinds import KINDS
from customers.rows.settings import shop_settings
from segments import segment_store
from segments.models import Change, Membership, Refresh, RefreshResult, Segment

HEADERS = {kind.name: ",".join(kind.csv_columns) for kind in KINDS.values()}
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Imported:
    """What an import said."""

    read: int
    created: int
    updated: int
    refused: list[tuple[int, str]]
    warnings: list[str]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        return self.read, self.created, self.updated, len(self.refused)

    @property
    def lines(self) -> list[int]:
        return [line for line, _ in self.refused]

    @property
    def reason(self) -> str:
        """The reason of the one row that was refused."""
        [(_, reason)] = self.refused
        return reason


def import_text(kind: str, text: str | bytes, **options: Any) -> Imported:
    """Import a file that begins with its header."""
    refused: list[RejectedRow] = []
    data = text.encode() if isinstance(text, str) else text
    report = csv_files.import_file(
        csv_files.FORMATS[kind], io.BytesIO(data), shop_settings(), on_rejected=refused.append, **options
    )
    told = [(refusal.line, refusal.reason) for refusal in refused]
    assert report.refused == len(told)
    return Imported(report.read, report.created, report.updated, told, report.warnings)


def import_rows(kind: str, *rows: Sequence[str] | str, header: str = "", **options: Any) -> Imported:
    """Import rows, as texts or as cells; the columns are all of the kind unless a header names others."""
    sheet = io.StringIO()
    sheet.write((header or HEADERS[kind]) + "\n")
    for row in rows:
        if isinstance(row, str):
            sheet.write(row + "\n")
        else:
            csv.writer(sheet, lineterminator="\n").writerow(row)
    return import_text(kind, sheet.getvalue(), **options)


def customers(*rows: str, header: str = "customer_id,email", **options: Any) -> Imported:
    return import_rows("customers", *rows, header=header, **options)


def orders(*rows: str, header: str = "order_id,customer_id,placed_at,total", **options: Any) -> Imported:
    return import_rows("orders", *rows, header=header, **options)


def lines(*rows: str, header: str = "order_id,sku,quantity", **options: Any) -> Imported:
    return import_rows("order_lines", *rows, header=header, **options)


def events(
    *rows: str, header: str = "message_id,customer_id,anonymous_id,event,occurred_at", **options: Any
) -> Imported:
    return import_rows("events", *rows, header=header, **options)


def event_with(properties: str) -> Imported:
    """Import one event of customer c1 with these properties."""
    return import_rows("events", ["m1", "c1", "", "Product Viewed", "2026-03-01T10:00:00Z", properties])


def command(name: str, *arguments: object) -> str:
    """Run a command and give its standard output."""
    out = io.StringIO()
    call_command(name, *map(str, arguments), stdout=out)
    return out.getvalue()


def failing(name: str, *arguments: object, status: int = 1) -> str:
    """Run a command that has to end with a status, and give its standard output."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command(name, *map(str, arguments), stdout=out)
    assert end.value.code == status
    return out.getvalue()


def segment(slug: str, rule: Mapping[str, Any]) -> Segment:
    """Save a segment as the admin does."""
    return segment_store.save_segment(Segment(slug=slug, name=slug.title(), rule=rule))


def members(slug: str) -> list[str]:
    """The stored members, by their printed ids."""
    rows = csv.reader(io.StringIO(command("members", slug)))
    return sorted(row[0] for row in list(rows)[1:])


def changes(slug: str) -> list[tuple[str, str, str]]:
    """What happened to a segment's members, in order of the log: who, which way, and why."""
    found = Change.objects.filter(segment__slug=slug).order_by("id")
    return list(found.values_list("public_id", "change", "cause"))


def days(count: float) -> timedelta:
    return timedelta(days=count)


RECORDS: tuple[type[models.Model], ...] = (
    *(Customer, Identity, Order, OrderLine, Event, EventProduct, Facts),
)
MEMBERS: tuple[type[models.Model], ...] = (Segment, Membership, Change, Refresh, RefreshResult)


def rows_of(*tables: type[models.Model], without: Iterable[str] = ()) -> dict[str, list[str]]:
    """Every row of the tables, but for some columns, in an order of its own."""
    dumped = {}
    for table in tables:
        columns = [
            field.attname for field in table._meta.concrete_fields if field.attname not in set(without)
        ]
        rows = table._default_manager.order_by().values_list(*columns)
        dumped[table.__name__] = sorted(repr(row) for row in rows)
    return dumped


def records() -> dict[str, list[str]]:
    """All records and facts, keys included: an import that changes nothing leaves them as they are."""
    return rows_of(*RECORDS)


def comparable_records() -> dict[str, list[str]]:
    """All records and facts as people know them: by printed ids, without keys and times of recording.

    The rows that joined visitors leave behind are no customers to anybody.
    """
    printed = dict(Customer.objects.values_list("pk", "customer_id"))
    order_ids = dict(Order.objects.values_list("pk", "order_id"))
    message_ids = dict(Event.objects.values_list("pk", "message_id"))
    browsers = dict(Identity.objects.values_list("pk", "value"))
    dumped = {}
    for table in RECORDS:
        owner = "id" if table is Customer else "customer_id"
        told = []
        for row in table._default_manager.order_by().values():
            if row.get("merged_into_id"):
                continue
            row["owner"] = printed[row[owner]]
            if table is OrderLine:
                row["order_id"] = order_ids[row["order_id"]]
            if table is Event:
                row["visitor_id"] = browsers.get(row["visitor_id"])
            if table is EventProduct:
                row["event_id"] = message_ids[row["event_id"]]
            if table is not Customer:
                del row["customer_id"]
            for column in ("id", "recorded_at"):
                row.pop(column, None)
            told.append(json.dumps(row, sort_keys=True, default=str, ensure_ascii=False))
        dumped[table.__name__] = sorted(told)
    return dumped


def delete_everything() -> None:
    """Empty the tables of records."""
    with connection.cursor() as cursor:
        for table in (
            "stalefacts",
            "appendedevent",
            "appendedorder",
            "touched",
            "upcoming",
            "partialtotals",
            "facts",
            "batch",
            "refusedmessage",
            "identitylink",
            "consentstatement",
            "confirmationrequest",
            "addressunsubscription",
            "suppression",
            "traits",
            "unsignedlink",
            "ordermessage",
            "recordkey",
            "eventproduct",
            "event",
            "orderline",
            "order",
            "identity",
            "consentchange",
            "customer",
        ):
            cursor.execute(f"DELETE FROM customers_{table}")


def assert_facts_are_those_of_the_records() -> None:
    """The stored facts are what summing up all records anew gives."""
    at = update.facts_updated_until() or NOON
    assert not update.is_update_due(at)
    relations.prepare_recomputed_relation(at)
    columns = [field.attname for field in Facts._meta.concrete_fields]
    stored = sorted(map(repr, Facts.objects.filter(first_seen_at__lte=at).order_by().values_list(*columns)))
    assert sorted(map(repr, FactsAsOf.objects.order_by().values_list(*columns))) == stored
    assert Facts.objects.count() == Customer.objects.existing().count()


def assert_totals_are_those_of_the_facts() -> None:
    """What is kept of the buyers is what their facts add up to."""
    buyers = Facts.objects.filter(order_count__gt=0)
    sums = buyers.aggregate(spent=Sum("total_spent"), average=Sum("average_order_value"))
    stored = totals.read_totals()
    kept = (
        (stored.customers, stored.buyers, stored.total_spent, stored.average_order_value) if stored else None
    )
    right = (Facts.objects.count(), buyers.count(), sums["spent"] or 0, sums["average"] or 0)
    assert (kept or (0, 0, 0, 0)) == right
