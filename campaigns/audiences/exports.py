"""Audience files for ad platforms: a segment's consenting members, in full or as changes since an id.

The only writer of ``AudienceMember`` and ``AudienceExport``. An export first updates the stored members in one
transaction, then reads the file from them in batches, in constant memory. A customer who was never in a file of a
platform is not named to it, not even as removed. See ``docs/audiences.md``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import In, IsNull

from campaigns.models import AudienceExport, AudienceMember
from core.db import execution, temporary_tables, transactions
from core.db.sql import Sql, compose
from core.values import sortable_values
from core.values.csv_injection import csv_text
from customers.models import Customer
from segments.models import Change, Membership, Segment

from . import platforms
from .platforms import Person

Operation = Literal["add", "remove"]

ADD: Final[Operation] = "add"
REMOVE: Final[Operation] = "remove"
OPERATION_COLUMN: Final = "operation"
EXPORT_BATCH_SIZE: Final = 5_000
_TABLE: Final = AudienceMember._meta.db_table

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
    """The CSV of a file in batches of lines, how many customers it has, and the id to continue from."""

    batches: Iterator[str]
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
    members = AudienceMember.objects.filter(segment=segment, platform=platform)
    with transaction.atomic(), transactions.locked_table(AudienceMember._meta.db_table):
        until = _latest_known_change_id(segment)
        if since is not None and not 0 <= since <= until:
            raise UnknownChange(f"there is no change {since} of this segment; the latest is {until}")
        if (
            since is not None
            and not AudienceExport.objects.filter(segment=segment, platform=platform).exists()
        ):
            _assume_exported(segment, platform, since, until)
        # A customer can be added without a membership change, by consent for example: after the given id, too.
        _update_members(segment, platform, until if since is None else max(until, since + 1))
        if since is None:
            members = members.filter(is_included=True)
        else:
            members = members.filter(exported_until__gt=since)
            if only:
                members = members.filter(is_included=only == ADD)
        rows = members.count()
        AudienceExport.objects.create(
            segment=segment, platform=platform, exported_at=at, exported_by_name=by[:150],
            since=since, until=until, rows=rows,
        )  # fmt: skip
    return AudienceFile(
        _csv_batches(members, platform, with_operation=since is not None and only is None), rows, until
    )


def consenting_q() -> Q:
    """Match customers who consent to ads: by the attribute, or without it by their newsletter subscription."""
    given = KeyTextTransform(sortable_values.json_key(CONSENT_ATTRIBUTE), "attributes_comparable")
    return Q(In(given, _CONSENT_VALUES)) | Q(IsNull(given, True), newsletter=Customer.Newsletter.SUBSCRIBED)


def _latest_known_change_id(segment: Segment) -> int:
    """Return the id of the latest change, even if it is deleted from the log and only a file names it."""
    exported = AudienceExport.objects.filter(segment=segment).aggregate(newest=Max("until"))["newest"]
    return max(Change.objects.filter(segment=segment).latest_id(), exported or 0)


# -- The stored members


def _update_members(segment: Segment, platform: str, until: int) -> None:
    _gather_audience(_reachable_queryset().filter(Exists(_memberships_queryset(segment))))
    stored = "segment_id = {segment} AND platform = {platform}"
    for is_included in (False, True):
        execution.execute(
            compose(
                f"""UPDATE {_TABLE} SET is_included = {{is_included}}, exported_until = {{until}}
                    WHERE {stored} AND is_included = {{was_included}}
                        AND {"" if is_included else "NOT"} EXISTS (
                            SELECT 1 FROM audience a WHERE a.customer_id = {_TABLE}.customer_id)""",
                segment=segment.pk,
                platform=platform,
                until=until,
                is_included=is_included,
                was_included=not is_included,
            )
        )
    _insert_members(
        segment,
        platform,
        compose(
            f"""SELECT customer_id FROM audience WHERE NOT EXISTS (
                    SELECT 1 FROM {_TABLE} m WHERE m.customer_id = audience.customer_id AND {stored})""",
            segment=segment.pk,
            platform=platform,
        ),
        until,
    )


def _assume_exported(segment: Segment, platform: str, since: int, until: int) -> None:
    """Assume that the platform knows the members at an id: its list was filled by other means."""
    since_then = Change.objects.filter(segment=segment, pk__gt=since, pk__lte=until, customer__isnull=False)
    _gather_audience(_reachable_queryset().filter(Exists(_memberships_queryset(segment))))
    execution.execute(
        compose(
            "DELETE FROM audience WHERE customer_id IN ({changed})",
            changed=since_then.order_by().values("customer"),
        )
    )
    first = since_then.filter(customer=OuterRef("customer"), pk__lt=OuterRef("pk"))
    left_first = since_then.filter(~Exists(first), change=Change.Kind.LEFT).order_by().values("customer")
    _add_to_audience(_reachable_queryset().filter(pk__in=left_first))
    _insert_members(segment, platform, Sql("SELECT customer_id FROM audience"), since)


def _gather_audience(customers: QuerySet[Customer]) -> None:
    temporary_tables.create_temporary_table("audience", "customer_id bigint PRIMARY KEY")
    _add_to_audience(customers)


def _add_to_audience(customers: QuerySet[Customer]) -> None:
    execution.execute(
        compose("INSERT INTO audience {customers}", customers=customers.order_by().values_list("pk"))
    )


def _reachable_queryset() -> QuerySet[Customer]:
    return Customer.objects.existing().known().filter(consenting_q())


def _memberships_queryset(segment: Segment) -> QuerySet[Membership]:
    return Membership.objects.filter(segment=segment, customer=OuterRef("pk"))


def _insert_members(segment: Segment, platform: str, customers: Sql, until: int) -> None:
    execution.execute(
        compose(
            f"""INSERT INTO {_TABLE} (segment_id, platform, customer_id, is_included, exported_until)
                SELECT {{segment}}, {{platform}}, customer_id, {{is_included}}, {{until}}
                FROM ({{customers}}) AS customers""",
            segment=segment.pk,
            platform=platform,
            is_included=True,
            until=until,
            customers=customers,
        )
    )


# -- The file


def _csv_batches(members: QuerySet[AudienceMember], platform: str, *, with_operation: bool) -> Iterator[str]:
    columns = platforms.PLATFORM_COLUMNS[platform]
    yield csv_text([[OPERATION_COLUMN] * with_operation + [column.name for column in columns]])
    for batch in _member_batches(members):
        yield csv_text(
            [ADD if is_included else REMOVE] * with_operation + [column.cell(person) for column in columns]
            for is_included, person in batch
        )


def _member_batches(members: QuerySet[AudienceMember]) -> Iterator[list[tuple[bool, Person]]]:
    rows = members.order_by("customer_id").values_list("customer_id", "is_included")
    after = 0
    while batch := list(rows.filter(customer_id__gt=after)[:EXPORT_BATCH_SIZE]):
        customers = Customer.objects.filter(pk__in=[key for key, _ in batch]).order_by()
        people = {
            key: Person(*values) for key, *values in customers.values_list("pk", *Person._fields).iterator()
        }
        yield [(is_included, people[key]) for key, is_included in batch if key in people]
        after = batch[-1][0]
