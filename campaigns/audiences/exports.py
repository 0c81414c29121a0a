"""Audience files for ad platforms: a segment's consenting members, in full or as changes since an id.

The only writer of ``AudienceMember`` and ``AudienceExport``. An export first updates the stored members in one
transaction, then reads the file from them in batches, in constant memory. A customer who was never in a file of a
platform is not named to it, not even as removed. See ``docs/audiences.md``.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import In, IsNull

from campaigns.models import AudienceExport, AudienceMember
from core.db import execution, transactions
from core.db.sql import compose
from core.values import sortable_values
from customers.models import Customer
from segments.models import Change, Membership, Segment

from . import platforms
from .platforms import Person

Operation = Literal["add", "remove"]

ADD: Final[Operation] = "add"
REMOVE: Final[Operation] = "remove"
OPERATION_COLUMN: Final = "operation"
EXPORT_BATCH_SIZE: Final = 5_000

CONSENT_ATTRIBUTE: Final = "ads_consent"
_CONSENT_VALUES: Final = (
    sortable_values.encode_text("true"),
    sortable_values.encode_text("yes"),
    sortable_values.encode_number(Decimal(1)),
)


class UnknownChange(ValueError):
    """The id to continue from is not in this segment's change log. The text says which ids are."""


@dataclass(frozen=True)
class AudienceFile:
    """The lines of a file, how many customers it has, and the id to continue from."""

    lines: Iterator[str]
    rows: int
    until: int


def export_audience(
    segment: Segment,
    platform: str,
    at: datetime,
    *,
    since: int | None = None,
    only: Operation | None = None,
    by: str = "",
) -> AudienceFile:
    """Return a segment's audience for a platform: all of it, or what changed since the change with an id.

    Changes have a column that says who is added and who is removed, unless ``only`` selects one of them. Exporting
    again with the same id repeats the same changes. Raises UnknownChange.
    """
    told = AudienceMember.objects.filter(segment=segment, platform=platform)
    with transaction.atomic(), transactions.locked_table(AudienceMember._meta.db_table):
        until = _latest_change_id(segment)
        if since is not None and not 0 <= since <= until:
            raise UnknownChange(f"there is no change {since} of this segment; the latest is {until}")
        if (
            since is not None
            and not AudienceExport.objects.filter(segment=segment, platform=platform).exists()
        ):
            _assume_exported(segment, platform, since, until)
        # What is found without any change of members, such as a consent, belongs behind the id that was given.
        _update_members(segment, platform, until if since is None else max(until, since + 1))
        if since is None:
            told = told.filter(is_in=True)
        else:
            told = told.filter(exported_until__gt=since)
            if only:
                told = told.filter(is_in=only == ADD)
        rows = told.count()
        AudienceExport.objects.create(
            segment=segment, platform=platform, exported_at=at, exported_by_name=by[:150],
            since=since, until=until, rows=rows,
        )  # fmt: skip
    return AudienceFile(
        _lines(told, platform, tells_operation=since is not None and only is None), rows, until
    )


def consenting_q() -> Q:
    """Match customers who consent to ads: by the attribute, or without it by their newsletter subscription."""
    given = KeyTextTransform(sortable_values.json_key(CONSENT_ATTRIBUTE), "attributes_comparable")
    return Q(In(given, _CONSENT_VALUES)) | Q(IsNull(given, True), newsletter=Customer.Newsletter.SUBSCRIBED)


def _latest_change_id(segment: Segment) -> int:
    """Return the id of the latest change, even if it is deleted from the log and only a file names it."""
    newest = Change.objects.filter(segment=segment).aggregate(newest=Max("pk"))["newest"]
    told = AudienceExport.objects.filter(segment=segment).aggregate(newest=Max("until"))["newest"]
    return max(newest or 0, told or 0)


# -- The stored members


def _update_members(segment: Segment, platform: str, until: int) -> None:
    told = AudienceMember.objects.filter(segment=segment, platform=platform)
    belonging = _reachable_queryset().filter(Exists(_memberships_queryset(segment)))
    belongs = Exists(belonging.filter(pk=OuterRef("customer_id")))
    told.filter(~belongs, is_in=True).update(is_in=False, exported_until=until)
    told.filter(belongs, is_in=False).update(is_in=True, exported_until=until)
    new = belonging.filter(~Exists(told.filter(customer=OuterRef("pk"))))
    _insert_members(segment, platform, new, until)


def _assume_exported(segment: Segment, platform: str, since: int, until: int) -> None:
    """Assume that the platform knows the members at an id: its list was filled by other means."""
    since_then = Change.objects.filter(segment=segment, pk__gt=since, pk__lte=until)
    own = since_then.filter(customer=OuterRef("pk")).order_by("pk")
    stayed = Q(Exists(_memberships_queryset(segment)), ~Exists(own))
    left_first = Q(pk__in=since_then.values("customer"), first=Change.Kind.LEFT)
    were_in = (
        _reachable_queryset().annotate(first=Subquery(own.values("change")[:1])).filter(stayed | left_first)
    )
    _insert_members(segment, platform, were_in, since)


def _reachable_queryset() -> QuerySet[Customer]:
    return Customer.objects.existing().known().filter(consenting_q())


def _memberships_queryset(segment: Segment) -> QuerySet[Membership]:
    return Membership.objects.filter(segment=segment, customer=OuterRef("pk"))


def _insert_members(segment: Segment, platform: str, customers: QuerySet[Customer], until: int) -> None:
    rows = customers.order_by().values_list(
        Value(segment.pk), Value(platform), "pk", Value(True), Value(until)
    )
    names = "segment_id, platform, customer_id, is_in, exported_until"
    execution.execute(compose(f"INSERT INTO {AudienceMember._meta.db_table} ({names}) {{rows}}", rows=rows))


# -- The file


def _lines(told: QuerySet[AudienceMember], platform: str, *, tells_operation: bool) -> Iterator[str]:
    columns = platforms.PLATFORM_COLUMNS[platform]
    sheet = csv.writer(_Echo(), lineterminator="\r\n")
    yield _line(sheet, [OPERATION_COLUMN] * tells_operation + [column.name for column in columns])
    for is_in, person in _members(told):
        cells = [column.cell(person) for column in columns]
        yield _line(sheet, [ADD if is_in else REMOVE] * tells_operation + cells)


def _members(told: QuerySet[AudienceMember]) -> Iterator[tuple[bool, Person]]:
    named = [f"customer__{column}" for column in Person._fields]
    rows = told.order_by("customer_id").values_list("customer_id", "is_in", *named)
    after = 0
    while share := list(rows.filter(customer_id__gt=after)[:EXPORT_BATCH_SIZE]):
        for _, is_in, *read in share:
            yield is_in, Person(*read)
        after = share[-1][0]


def _line(sheet: Any, cells: list[str]) -> str:
    line: str = sheet.writerow(cells)
    return line


class _Echo:
    """A file-like object whose ``write`` returns the line."""

    def write(self, line: str) -> str:
        return line
