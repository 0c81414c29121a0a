"""Step 4 of a refresh: writing members, changes and their daily counts. Only this module and ``deletion`` write them.

One transaction at a time writes, so the ids of changes commit in their order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import Value
from django.db.models.expressions import RawSQL

from core.db import dialect, execution, temporary_tables
from core.db.locks import acquire
from core.db.sql import Query, Sql, compose
from core.wakeup import notify_on_commit
from customers.facts import touched_customers
from customers.models import Customer, CustomerQuerySet
from segments.evaluation.context import shop_zone
from segments.models import Change, DailyChangeCount, Membership, Refresh, RefreshResult, Segment
from segments.signals import members_changed

from . import candidates, differences

_MEMBERS, _CHANGES, _DAILY_COUNTS = (model._meta.db_table for model in (Membership, Change, DailyChangeCount))


@dataclass(frozen=True)
class Outcome:
    """What a refresh changed in one segment. With an error, it changed nothing."""

    segment: Segment
    size: int = 0
    known_size: int = 0
    entered: int = 0
    left: int = 0
    error: str = ""


@dataclass(frozen=True)
class WrittenSegment:
    """A segment whose differences are written, and what determines the causes of its changes.

    ``cause`` is the cause of all changes, if set. Otherwise the cause of a change is the first of these: activity, if
    the customer was touched or has a record dated after ``since``, the instant of the last refresh (it was dated
    ahead, or the segment missed the touch); the cause of a change of a segment in ``referred``; population, if
    ``statistics_changed``; time.
    """

    segment: Segment
    cause: str = ""
    since: datetime | None = None
    referred: frozenset[int] = frozenset()
    statistics_changed: bool = False


def lock_members() -> None:
    """Wait until no other transaction writes members; the lock ends with the transaction."""
    acquire("members")


def write_differences(
    run: Refresh,
    at: datetime,
    written: Sequence[WrittenSegment],
    former_answers: Query | None = None,
    *,
    facts_may_be_newer: bool = True,
) -> list[Outcome]:
    """Append the changes of the table ``differences``, and insert, update and delete members.

    The position of a segment in ``written`` is that of its bit. ``former_answers`` are what the former statistics would
    answer, if these have changed. ``facts_may_be_newer`` tells whether stored facts can contain records after ``at``.
    """
    segments = _segments_cte(written)
    counts, latest_id = _count_differences(segments)
    if any(count.entered or count.left for count in counts.values()):
        differences.gather_customers(at, former_answers, facts_may_be_newer=facts_may_be_newer)
        _append_changes(run, at, written, segments)
        count_by_day(at, after=latest_id)
    _write_members(at, segments, counts)
    return [_outcome(entry.segment, counts.get(entry.segment.pk) or MemberCounts()) for entry in written]


@dataclass(frozen=True)
class MemberCounts:
    """The differences of one segment.

    ``known`` is the growth in known members, ``changed_known`` the number of members who became known or unknown.
    """

    entered: int = 0
    left: int = 0
    known: int = 0
    changed_known: int = 0


def _segments_cte(written: Sequence[WrittenSegment]) -> str:
    rows = ", ".join(
        f"({entry.segment.pk}, {1 << place}, '{entry.cause}', {_moment_or_null(entry.since)},"
        f" {int(entry.statistics_changed)})"
        for place, entry in enumerate(written)
    )
    return f"WITH written (segment_id, bit, cause, since, statistics_changed) AS (VALUES {rows})"


def _append_changes(run: Refresh, at: datetime, written: Sequence[WrittenSegment], segments: str) -> None:
    execution.execute(
        compose(
            f"""INSERT INTO {_CHANGES} (segment_id, customer_id, public_id, change, at, cause, refresh_id)
                {segments}
                SELECT w.segment_id, d.customer_id, c.public_id,
                    CASE WHEN d.bits & w.bit <> 0 THEN 'entered' ELSE 'left' END, {{at}}, {{cause}}, {{run}}
                FROM differences d JOIN written w ON d.bits & w.bit <> d.stored & w.bit
                JOIN differing_customers c ON c.customer_id = d.customer_id
                LEFT JOIN candidates t ON t.customer_id = d.customer_id
                ORDER BY w.segment_id, d.customer_id""",
            at=dialect.datetime_param(at),
            cause=_cause_sql(run, at, written),
            run=run.pk,
        )
    )


def _count_differences(segments: str) -> tuple[dict[int, MemberCounts], int]:
    """Return the differences of each segment that has any, and the id of the latest change."""
    rows = execution.fetch_all(
        f"""{segments} SELECT w.segment_id, (SELECT COALESCE(max(id), 0) FROM {_CHANGES}),
                count(*) FILTER (WHERE d.bits & w.bit <> 0 AND d.stored & w.bit = 0),
                count(*) FILTER (WHERE d.bits & w.bit = 0 AND d.stored & w.bit <> 0),
                count(*) FILTER (WHERE d.known & w.bit <> 0) - count(*) FILTER (WHERE d.stored_known & w.bit <> 0),
                count(*) FILTER (WHERE d.bits & d.stored & w.bit <> 0 AND d.known & w.bit <> d.stored_known & w.bit)
            FROM differences d JOIN written w ON (d.bits | d.stored) & w.bit <> 0 GROUP BY w.segment_id"""
    )
    counts = {segment: MemberCounts(*numbers) for segment, _, *numbers in rows}
    return counts, max((latest_id for _, latest_id, *_ in rows), default=0)


def _write_members(at: datetime, segments: str, counts: dict[int, MemberCounts]) -> None:
    if any(count.entered for count in counts.values()):
        execution.execute(
            f"""INSERT INTO {_MEMBERS} (customer_id, segment_id, entered_at, is_known)
                {segments} SELECT d.customer_id, w.segment_id, %s, d.known & w.bit <> 0
                FROM differences d JOIN written w ON d.bits & w.bit <> 0 AND d.stored & w.bit = 0""",
            [dialect.datetime_param(at)],
        )
    if any(count.left for count in counts.values()):
        execution.execute(
            f"""DELETE FROM {_MEMBERS} WHERE (customer_id, segment_id) IN (
                    {segments} SELECT d.customer_id, w.segment_id
                    FROM differences d JOIN written w ON d.bits & w.bit = 0 AND d.stored & w.bit <> 0)"""
        )
    if any(count.changed_known for count in counts.values()):
        execution.execute(
            f"""UPDATE {_MEMBERS} SET is_known = NOT is_known WHERE (customer_id, segment_id) IN (
                    {segments} SELECT d.customer_id, w.segment_id
                    FROM differences d JOIN written w ON d.bits & d.stored & w.bit <> 0
                        AND d.known & w.bit <> d.stored_known & w.bit)"""
        )


def _moment_or_null(at: datetime | None) -> str:
    return dialect.datetime_cast_sql(f"'{dialect.datetime_param(at)}'" if at else "NULL")


def count_by_day(at: datetime, *, after: int) -> None:
    """Add the changes after an id to the counts of the day. The lock ensures that all of them are our own."""
    execution.execute(
        f"""INSERT INTO {_DAILY_COUNTS} (segment_id, day, change, cause, customers)
            SELECT segment_id, %s, change, cause, count(*) FROM {_CHANGES} WHERE id > %s
            GROUP BY segment_id, change, cause
            ON CONFLICT (segment_id, day, change, cause)
            DO UPDATE SET customers = {_DAILY_COUNTS}.customers + excluded.customers""",
        [at.astimezone(shop_zone()).date(), after],
    )


def _outcome(segment: Segment, counts: MemberCounts) -> Outcome:
    size = segment.size + counts.entered - counts.left
    return Outcome(segment, size, segment.known_size + counts.known, counts.entered, counts.left)


def unchanged_outcomes(segments: Iterable[Segment]) -> list[Outcome]:
    """Return the outcomes of segments without differences."""
    return [_outcome(segment, MemberCounts()) for segment in segments]


def _cause_sql(run: Refresh, at: datetime, written: Sequence[WrittenSegment]) -> Sql:
    """Return the expression of the cause for which a customer enters or leaves a segment."""
    # A change through another segment has the cause of the change there.
    inherited = "".join(
        f""" WHEN w.segment_id = {entry.segment.pk} AND {through} IS NOT NULL THEN {through}"""
        for entry in written
        if entry.referred
        for through in [
            f"""(SELECT CASE b.cause WHEN 'initial' THEN 'definition' ELSE b.cause END FROM {_CHANGES} b
                WHERE b.customer_id = d.customer_id AND b.refresh_id = {{run}}
                    AND b.segment_id IN ({", ".join(map(str, sorted(entry.referred)))})
                ORDER BY b.id DESC LIMIT 1)"""
        ]
    )
    return compose(
        f"""CASE WHEN w.cause <> '' THEN w.cause
            WHEN t.recorded = 2 OR c.merged_into_id IS NOT NULL OR (d.customer_id, w.bit) IN (
                SELECT v.merged_into_id, x.bit FROM differing_customers v
                JOIN differences j ON j.customer_id = v.customer_id
                JOIN written x ON j.stored & x.bit <> 0 WHERE v.merged_into_id IS NOT NULL) THEN 'merge'
            WHEN t.recorded = 1 OR c.first_seen_at > w.since AND c.first_seen_at <= {{at}}
                OR c.latest_at > w.since THEN 'activity'{inherited}
            WHEN w.statistics_changed = 1 AND c.former_bits & w.bit = d.stored & w.bit THEN 'population'
            ELSE 'time' END""",
        at=dialect.datetime_param(at),
        run=run.pk,
    )


def write_outcomes(
    run: Refresh, at: datetime, outcomes: Sequence[Outcome], asked_digests: Mapping[int, str]
) -> None:
    """Store size, version and instant of segments, and a result for each segment that changed or failed.

    ``asked_digests`` identify the rules that each segment's rule asks ahead.
    """
    done = [outcome for outcome in outcomes if not outcome.error]
    changed = [outcome for outcome in done if outcome.entered or outcome.left or _is_new(outcome.segment)]
    if done:
        _store_state(run, at, done, asked_digests)
    RefreshResult.objects.bulk_create(
        RefreshResult(
            refresh=run,
            segment=outcome.segment,
            version=outcome.segment.version,
            size=outcome.segment.size if outcome.error else outcome.size,
            known_size=outcome.segment.known_size if outcome.error else outcome.known_size,
            entered=outcome.entered,
            left=outcome.left,
            error=outcome.error,
        )
        for outcome in [*changed, *(outcome for outcome in outcomes if outcome.error)]
    )
    if any(outcome.entered or outcome.left for outcome in done):
        notify_on_commit(members_changed)


def _store_state(
    run: Refresh, at: datetime, done: Sequence[Outcome], asked_digests: Mapping[int, str]
) -> None:
    resized = [outcome for outcome in done if outcome.size != outcome.segment.size]
    resized_known = [outcome for outcome in done if outcome.known_size != outcome.segment.known_size]
    edited = [outcome for outcome in done if outcome.segment.refreshed_version != outcome.segment.version]
    values = (
        _by_segment("size", [(outcome.segment.pk, outcome.size) for outcome in resized]),
        _by_segment("known_size", [(outcome.segment.pk, outcome.known_size) for outcome in resized_known]),
        _by_segment(
            "refreshed_version", [(outcome.segment.pk, outcome.segment.version) for outcome in edited]
        ),
        _by_segment(
            "asked_digest",
            [
                (outcome.segment.pk, f"'{digest}'")
                for outcome in done
                if (digest := asked_digests.get(outcome.segment.pk, "")) != outcome.segment.asked_digest
            ],
        ),
    )
    execution.execute(
        f"""UPDATE {Segment._meta.db_table} SET {"".join(values)}
                refreshed_at = %s, refresh_id = %s, is_incremental = true,
                last_error = '', failing_since = NULL, failures = 0, retry_at = NULL
            WHERE id IN ({", ".join(str(outcome.segment.pk) for outcome in done)})""",
        [dialect.datetime_param(at), run.pk],
    )


def _by_segment(column: str, values: Sequence[tuple[int, int | str]]) -> str:
    """Return an assignment, with a comma, that sets a column of these segments and keeps that of others."""
    if not values:
        return ""
    cases = " ".join(f"WHEN {segment} THEN {value}" for segment, value in values)
    return f"{column} = CASE id {cases} ELSE {column} END, "


def _is_new(segment: Segment) -> bool:
    return segment.refresh_id is None or segment.refreshed_version != segment.version


def set_list_members(
    segment: Segment, customers: Iterable[int], at: datetime, cause: Change.Cause
) -> Outcome:
    """Make exactly these customers the members of a fixed list."""
    if segment.is_dynamic:
        raise ValueError(f"{segment.slug} gets its members from its rule")
    with transaction.atomic():
        lock_members()
        segment = Segment.objects.get(pk=segment.pk)
        now = datetime.now(UTC)
        run = Refresh.objects.create(at=at, started_at=now, finished_at=now, state=Refresh.State.DONE)
        candidates.create_table()
        temporary_tables.load_rows(
            "candidates", ("customer_id", "recorded"), [(key, 0) for key in set(customers)]
        )
        differences.empty_differences()
        differences.add_differences(
            [segment],
            Customer.objects.filter(pk__in=RawSQL("SELECT customer_id FROM candidates", ())).values_list(
                "pk", Value(1), CustomerQuerySet.known_number()
            ),
        )
        [outcome] = write_differences(run, at, [WrittenSegment(segment, cause.value)])
        write_outcomes(run, at, [outcome], {})
        # Rules may refer to the list, so its changes make the customers candidates.
        touched_customers.touch_customers(differences.CHANGED_CUSTOMERS_SQL, recorded=True)
    return outcome
