"""Who is in: the only writer of members, changes and their tallies.

The answers of some segments to some customers come as bits; a customer whose bits differ from the stored ones is
a difference, and what entered and left follows from the differences alone. One transaction at a time writes, so
that the ids of changes commit in their order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

from django.db import transaction
from django.db.models import Max

from core.wakeup import notify_on_commit
from customers import engine, facts
from customers.turns import take_turn

from .evaluation.context import shop_zone
from .models import Change, Membership, Refresh, RefreshResult, Segment, Tally
from .signals import members_changed

_MEMBERS, _CHANGES, _TALLIES = (model._meta.db_table for model in (Membership, Change, Tally))
Sql = tuple[str, list[object]]

LOOKED_AT_ONCE = 5_000  # customers, where to ask about all of them at once takes too long


@dataclass(frozen=True)
class Outcome:
    """What a refresh did to one segment; with an error it did nothing."""

    segment: Segment
    size: int = 0
    known_size: int = 0
    entered: int = 0
    left: int = 0
    error: str = ""


@dataclass(frozen=True)
class Asked:
    """A segment whose answers are written, and what explains its changes.

    ``cause`` is that of them all, if there is one. Else activity comes first: of who is touched, and of who has a
    record dated after ``since``, the instant of the last refresh: it was dated ahead and came due, or its touch is not
    known any more. Then the changes of the segments ``referred`` to, a figure that ``moved``, and time.
    """

    segment: Segment
    cause: str = ""
    since: datetime | None = None
    referred: frozenset[int] = frozenset()
    moved: bool = False


def take_turn_to_write() -> None:
    """Wait until no other transaction writes members; the turn ends with the transaction."""
    take_turn("members")


def find_differences(segments: Sequence[Segment], answers: Sql, among: str = "") -> int:
    """Fill ``differences`` with the customers whose answers are not the stored ones; give how many those are.

    ``answers`` is a query of customer, bits and 1 for who is known, about everybody or those in a table.
    """
    empty_differences()
    return add_differences(segments, answers, among)


def add_differences(segments: Sequence[Segment], answers: Sql, among: str = "") -> int:
    """Add to ``differences`` what ``find_differences`` finds, about customers who are not in it yet."""
    sql, params = answers
    stored = " ".join(f"WHEN {segment.pk} THEN {1 << place}" for place, segment in enumerate(segments))
    some = f"AND customer_id IN (SELECT customer_id FROM {among})" if among else ""
    return engine.execute(
        f"""INSERT INTO differences (customer_id, bits, stored, known, stored_known)
            WITH answered (customer_id, bits, known) AS ({sql}), kept (customer_id, bits, known) AS (
                SELECT customer_id, CAST(sum(CASE segment_id {stored} END) AS bigint),
                    CAST(sum(CASE WHEN is_known THEN CASE segment_id {stored} END ELSE 0 END) AS bigint)
                FROM {_MEMBERS} WHERE segment_id IN ({", ".join(str(segment.pk) for segment in segments)}) {some}
                GROUP BY customer_id)
            SELECT customer_id, max(bits), max(stored), max(known), max(stored_known) FROM (
                SELECT customer_id, bits, 0 AS stored, bits * known AS known, 0 AS stored_known FROM answered
                UNION ALL SELECT customer_id, 0, bits, 0, known FROM kept
            ) AS compared
            GROUP BY customer_id HAVING max(bits) <> max(stored) OR max(known) <> max(stored_known)""",
        params,
    )


def in_parts(among: str) -> Iterator[str]:
    """Put all customers, or those in a table, into a smaller table, some after others; yield its name each time."""
    whom = f"SELECT customer_id FROM {among}" if among else "SELECT id FROM customers_customer"
    latest = 0
    while True:
        engine.temporary_table("looked_at", "customer_id bigint PRIMARY KEY")
        engine.execute(
            f"""INSERT INTO looked_at (customer_id) SELECT customer_id FROM ({whom}) AS whom (customer_id)
                WHERE customer_id > %s ORDER BY customer_id LIMIT {LOOKED_AT_ONCE}""",
            [latest],
        )
        [(newest,)] = engine.rows("SELECT max(customer_id) FROM looked_at")
        if newest is None:
            return
        latest = newest
        yield "looked_at"


def empty_differences() -> None:
    """Make the table of differences, or empty it."""
    engine.temporary_table(
        "differences",
        "customer_id bigint PRIMARY KEY, bits bigint, stored bigint, known bigint, stored_known bigint,"
        " unmoved bigint",
    )


def remember_unmoved(answers: Sql) -> None:
    """Note how those who differ would be answered had the figures of the population not moved."""
    sql, params = answers
    engine.temporary_table("unmoved", "customer_id bigint PRIMARY KEY, bits bigint, known bigint")
    engine.execute(f"INSERT INTO unmoved {sql}", params)
    engine.execute(
        "UPDATE differences SET unmoved = (SELECT u.bits FROM unmoved u WHERE u.customer_id = differences.customer_id)"
    )


def write_differences(run: Refresh, at: datetime, asked: Sequence[Asked]) -> list[Outcome]:
    """Append the changes, and insert, update and delete the members, as ``differences`` has them."""
    moment = engine.moment(at)
    rows = ", ".join(
        f"({one.segment.pk}, {1 << place}, '{one.cause}', {_moment_or_null(one.since)}, {int(one.moved)})"
        for place, one in enumerate(asked)
    )
    with_asked = f"WITH asked (segment_id, bit, cause, since, moved) AS (VALUES {rows})"
    newest = _newest_change()
    engine.execute(
        f"""INSERT INTO {_CHANGES} (segment_id, customer_id, printed_id, change, at, cause, refresh_id)
            {with_asked}
            SELECT a.segment_id, d.customer_id, c.customer_id,
                CASE WHEN d.bits & a.bit <> 0 THEN 'entered' ELSE 'left' END, %(at)s, {_cause(asked)}, %(run)s
            FROM differences d JOIN asked a ON d.bits & a.bit <> d.stored & a.bit
            JOIN customers_customer c ON c.id = d.customer_id
            LEFT JOIN customers_facts f ON f.customer_id = d.customer_id
            LEFT JOIN candidates t ON t.customer_id = d.customer_id
            ORDER BY a.segment_id, d.customer_id""",
        {"at": moment, "run": run.pk},
    )
    _tally(at, after=newest)
    moved = {
        key: counts
        for key, *counts in engine.rows(
            f"""{with_asked} SELECT a.segment_id, count(*) FILTER (WHERE d.bits & a.bit <> 0 AND d.stored & a.bit = 0),
                    count(*) FILTER (WHERE d.bits & a.bit = 0 AND d.stored & a.bit <> 0),
                    count(*) FILTER (WHERE d.known & a.bit <> 0) - count(*) FILTER (WHERE d.stored_known & a.bit <> 0),
                    count(*) FILTER (WHERE d.bits & d.stored & a.bit <> 0 AND d.known & a.bit <> d.stored_known & a.bit)
                FROM differences d JOIN asked a ON (d.bits | d.stored) & a.bit <> 0 GROUP BY a.segment_id"""
        )
    }
    entered, left, _, met = (sum(counts) for counts in zip((0, 0, 0, 0), *moved.values(), strict=True))
    if entered:
        engine.execute(
            f"""INSERT INTO {_MEMBERS} (customer_id, segment_id, entered_at, is_known)
                {with_asked} SELECT d.customer_id, a.segment_id, %s, d.known & a.bit <> 0
                FROM differences d JOIN asked a ON d.bits & a.bit <> 0 AND d.stored & a.bit = 0""",
            [moment],
        )
    if left:
        engine.execute(
            f"""DELETE FROM {_MEMBERS} WHERE (customer_id, segment_id) IN (
                    {with_asked} SELECT d.customer_id, a.segment_id
                    FROM differences d JOIN asked a ON d.bits & a.bit = 0 AND d.stored & a.bit <> 0)"""
        )
    if met:
        engine.execute(
            f"""UPDATE {_MEMBERS} SET is_known = NOT is_known WHERE (customer_id, segment_id) IN (
                    {with_asked} SELECT d.customer_id, a.segment_id
                    FROM differences d JOIN asked a ON d.bits & d.stored & a.bit <> 0
                        AND d.known & a.bit <> d.stored_known & a.bit)"""
        )
    return [_outcome(one.segment, *moved.get(one.segment.pk, (0, 0, 0))[:3]) for one in asked]


def _moment_or_null(at: datetime | None) -> str:
    return engine.moment_from(f"'{engine.moment(at)}'" if at else "NULL")


def _newest_change() -> int:
    return Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _tally(at: datetime, *, after: int) -> None:
    """Add the changes since one to those of their day: all of them are this run's, as it is its turn."""
    engine.execute(
        f"""INSERT INTO {_TALLIES} (segment_id, day, change, cause, customers)
            SELECT segment_id, %s, change, cause, count(*) FROM {_CHANGES} WHERE id > %s
            GROUP BY segment_id, change, cause
            ON CONFLICT (segment_id, day, change, cause)
            DO UPDATE SET customers = {_TALLIES}.customers + excluded.customers""",
        [at.astimezone(shop_zone()).date(), after],
    )


def _outcome(segment: Segment, entered: int = 0, left: int = 0, known: int = 0) -> Outcome:
    return Outcome(segment, segment.size + entered - left, segment.known_size + known, entered, left)


def unchanged(segments: Iterable[Segment]) -> list[Outcome]:
    """Give the outcomes of segments of whose members none differs."""
    return [_outcome(segment) for segment in segments]


def _cause(asked: Sequence[Asked]) -> str:
    """Give the expression of why one customer enters or leaves one segment."""
    came_due = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} r WHERE r.customer_id = d.customer_id AND r.{column} > a.since"
        f" AND r.{column} <= %(at)s)"
        for table, column in (("customers_order", "placed_at"), ("customers_event", "occurred_at"))
    )
    # The cause of a move through another segment is what moved the customer there.
    inherited = "".join(
        f""" WHEN a.segment_id = {one.segment.pk} AND {through} IS NOT NULL THEN {through}"""
        for one in asked
        if one.referred
        for through in [
            f"""(SELECT CASE b.cause WHEN 'initial' THEN 'definition' ELSE b.cause END FROM {_CHANGES} b
                WHERE b.customer_id = d.customer_id AND b.refresh_id = %(run)s
                    AND b.segment_id IN ({", ".join(map(str, sorted(one.referred)))})
                ORDER BY b.id DESC LIMIT 1)"""
        ]
    )
    return f"""CASE WHEN a.cause <> '' THEN a.cause
        WHEN t.recorded = 2 OR c.joined_into_id IS NOT NULL OR EXISTS (
            SELECT 1 FROM customers_customer v JOIN differences j ON j.customer_id = v.id
            WHERE v.joined_into_id = c.id AND j.stored & a.bit <> 0) THEN 'merge'
        WHEN t.recorded = 1 OR f.first_seen_at > a.since AND f.first_seen_at <= %(at)s
            OR f.newest_at > a.since AND (f.newest_at <= %(at)s OR {came_due}) THEN 'activity'{inherited}
        WHEN a.moved = 1 AND d.unmoved & a.bit = d.stored & a.bit THEN 'population'
        ELSE 'time' END"""


def store(run: Refresh, at: datetime, outcomes: Sequence[Outcome]) -> None:
    """Write size, version and instant of segments, and what a run did where it did something."""
    done = [outcome for outcome in outcomes if not outcome.error]
    moved = [outcome for outcome in done if outcome.entered or outcome.left or _is_new(outcome.segment)]
    for outcome in done:
        segment = outcome.segment
        if (segment.size, segment.known_size, segment.refreshed_version) != (
            outcome.size,
            outcome.known_size,
            segment.version,
        ):
            Segment.objects.filter(pk=segment.pk).update(
                size=outcome.size, known_size=outcome.known_size, refreshed_version=segment.version
            )
    Segment.objects.filter(pk__in=[outcome.segment.pk for outcome in done]).update(
        refreshed_at=at,
        refresh=run,
        is_caught_up=True,
        last_error="",
        failing_since=None,
        failures=0,
        retry_at=None,
    )
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
        for outcome in [*moved, *(outcome for outcome in outcomes if outcome.error)]
    )
    if any(outcome.entered or outcome.left for outcome in done):
        notify_on_commit(members_changed)


def _is_new(segment: Segment) -> bool:
    return segment.refresh_id is None or segment.refreshed_version != segment.version


def fill(segment: Segment, customers: Iterable[int], at: datetime, cause: Change.Cause) -> Outcome:
    """Make exactly these customers, named by their keys, the members of a fixed list."""
    if segment.is_dynamic:
        raise ValueError(f"{segment.slug} gets its members from its rule")
    with transaction.atomic():
        take_turn_to_write()
        segment = Segment.objects.select_for_update().get(pk=segment.pk)
        now = datetime.now(UTC)
        run = Refresh.objects.create(at=at, started_at=now, finished_at=now, state=Refresh.State.DONE)
        make_candidates()
        engine.load("candidates", ("customer_id", "recorded"), [(key, 0) for key in set(customers)])
        find_differences(
            [segment],
            (
                """SELECT c.id, 1, CASE WHEN c.email <> '' OR c.phone <> '' THEN 1 ELSE 0 END
                    FROM customers_customer c WHERE c.id IN (SELECT customer_id FROM candidates)""",
                [],
            ),
        )
        [outcome] = write_differences(run, at, [Asked(segment, cause.value)])
        store(run, at, [outcome])
        # Rules may refer to the list: who came or went is looked at again.
        facts.touch("SELECT customer_id FROM differences WHERE bits <> stored", recorded=True)
    return outcome


def erase(customers: Sequence[int], at: datetime) -> None:
    """Let customers, named by their keys, leave for good, in the transaction that erases them.

    Their leaving names them by the printed id, so that whoever follows the changes can let go of them, too, be it
    that they left before, and a follower has not read so far; what else the log told of them names nobody any more.
    Sizes are those of the members at once.
    """
    take_turn_to_write()
    members = list(
        Membership.objects.filter(customer__in=customers)
        .order_by("segment_id", "customer_id")
        .values_list("segment_id", "customer__customer_id", "is_known")
    )
    _forget_changes_but_leavings(customers)
    if not members:
        return
    at = max(at, Segment.objects.aggregate(latest=Max("refreshed_at"))["latest"] or at)
    run = Refresh.objects.create(at=at, started_at=at, finished_at=at, state=Refresh.State.DONE)
    newest = _newest_change()
    Change.objects.bulk_create(
        Change(
            segment_id=segment,
            printed_id=printed,
            change=Change.Kind.LEFT,
            at=at,
            cause=Change.Cause.ERASURE,
            refresh=run,
        )
        for segment, printed, _ in members
    )
    _tally(at, after=newest)
    Membership.objects.filter(customer__in=customers).delete()
    left = Counter(segment for segment, _, _ in members)
    known = Counter(segment for segment, _, is_known in members if is_known)
    for segment in Segment.objects.filter(pk__in=left):
        size, known_size = segment.size - left[segment.pk], segment.known_size - known[segment.pk]
        Segment.objects.filter(pk=segment.pk).update(size=size, known_size=known_size)
        RefreshResult.objects.create(
            refresh=run,
            segment=segment,
            version=segment.refreshed_version,
            size=size,
            known_size=known_size,
            left=left[segment.pk],
        )
    notify_on_commit(members_changed)


def _forget_changes_but_leavings(customers: Sequence[int]) -> None:
    """Take names off the log, but for the last leaving of each segment, which ``forget_names`` sees to in time."""
    changes = Change.objects.filter(customer__in=customers)
    latest = (
        changes.order_by()
        .values("segment", "customer")
        .annotate(latest=Max("pk"))
        .values_list("latest", flat=True)
    )
    leavings = Change.objects.filter(pk__in=list(latest), change=Change.Kind.LEFT)
    leavings.update(customer=None)
    changes.update(customer=None, printed_id="")


def forget_names(before: datetime) -> int:
    """Take the printed ids off the leavings of those erased before an instant; give how many those were.

    Whoever has not read them by then cannot let go of the erased, and has to begin anew.
    """
    named = Change.objects.filter(customer=None, at__lt=before).exclude(printed_id="")
    with transaction.atomic():
        take_turn_to_write()
        for segment, newest in named.order_by().values_list("segment").annotate(newest=Max("pk")):
            _let_follow_from(segment, newest)
        return named.update(printed_id="")


def forget_changes(segment: int, before: datetime, most: int) -> int:
    """Delete the oldest changes of a segment that are older than an instant, at most so many; give how many."""
    with transaction.atomic():
        take_turn_to_write()  # an erasure, which waits for its turn too, writes what is deleted here
        oldest = Change.objects.filter(segment=segment).order_by("pk").values_list("pk", "at")[:most]
        old = [change for change, _ in takewhile(lambda row: row[1] < before, oldest)]
        if old:
            Change.objects.filter(segment=segment, pk__lte=old[-1]).delete()
            _let_follow_from(segment, old[-1])
    return len(old)


def _let_follow_from(segment: int, change: int) -> None:
    Segment.objects.filter(pk=segment, followed_from__lt=change).update(followed_from=change)


def make_candidates() -> None:
    """Make the table of those who are looked at, or empty it; ``recorded`` as in ``facts.take_touched``."""
    engine.temporary_table("candidates", "customer_id bigint PRIMARY KEY, recorded integer")
