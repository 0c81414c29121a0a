"""Bringing members in line with rules: the only writer of members, changes and refreshes.

All segments of a refresh are asked in one statement: each is a bit, and a customer whose bits differ from the
stored ones is a difference. What entered and left follows from the differences alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import add

from django.db import DatabaseError, connection, transaction
from django.db.models import BigIntegerField, Case, Q, Value, When

from customers import engine, facts

from . import evaluation, references
from .models import Change, Membership, Refresh, RefreshResult, Segment
from .rules import AsOf, Figure, Rule, RuleError, parse

_Row = tuple[int, int, str, str, str]

SEGMENTS_AT_ONCE = 60  # bits of one signed integer, with room to spare

_MEMBERS, _CHANGES = Membership._meta.db_table, Change._meta.db_table


class TooEarly(ValueError):
    """A refresh asked for an instant before one the members already stand for."""


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
class _Asked:
    """A segment with its parsed rule and the refresh its members come from."""

    segment: Segment
    rule: Rule
    previous: Refresh | None


def refresh(segments: Iterable[Segment], at: datetime | None = None) -> tuple[Refresh, list[Outcome]]:
    """Bring the members of dynamic segments in line with their rules at an instant, by default now.

    "Now" is read when it is this refresh's turn, and is never before the segments' last refresh: one that
    waited for another, or whose clock stepped back, is not too early. One transaction; a segment that fails
    keeps its members, shows its error and does not stop the others. Segments come after those they refer to.
    Raises TooEarly where a given ``at`` is before a segment's last refresh.
    """
    facts.settle()
    started_at = datetime.now(UTC)
    run = Refresh.objects.create(at=at or started_at, started_at=started_at)
    try:
        with transaction.atomic():
            outcomes = _refresh_locked(run, [segment.pk for segment in segments], at)
    except BaseException as error:
        _finish(run, Refresh.State.FAILED, f"{type(error).__name__}: {error}")
        raise
    failed = [f"{outcome.segment.slug}: {outcome.error}" for outcome in outcomes if outcome.error]
    _finish(run, Refresh.State.FAILED if failed else Refresh.State.DONE, "\n".join(failed))
    return run, outcomes


def _finish(run: Refresh, state: str, error: str) -> None:
    run.state, run.error, run.finished_at = state, error, datetime.now(UTC)
    run.save(update_fields=["state", "error", "finished_at"])


def _refresh_locked(run: Refresh, keys: Sequence[int], at: datetime | None) -> list[Outcome]:
    # Locked in one order: a second refresh of a segment waits, and ids of changes commit in their order.
    # Read after that: what a row refers to is not seen by the statement that waited for the row.
    list(Segment.objects.select_for_update().filter(pk__in=keys).order_by("pk").values_list("pk"))
    locked = Segment.objects.select_related("refresh").filter(pk__in=keys).order_by("pk")
    segments = [segment for segment in locked if segment.is_dynamic]
    if at is None:
        at = max([datetime.now(UTC), *(segment.refreshed_at for segment in segments if segment.refreshed_at)])
    for segment in segments:
        if segment.refreshed_at and at < segment.refreshed_at:
            raise TooEarly(
                f"{segment.slug} was refreshed at {segment.refreshed_at.isoformat()}; give that instant or a later one"
            )
    # Whose facts are settled later than this may have been overlooked: verification leaves them out.
    run.at, run.started_at = at, datetime.now(UTC)
    run.save(update_fields=["at", "started_at"])
    shop = evaluation.as_of(at)
    outcomes: list[Outcome] = []
    asked: list[_Asked] = []
    for segment in segments:
        try:
            asked.append(_Asked(segment, parse(segment.rule), segment.refresh))
        except RuleError as error:
            outcomes.append(Outcome(segment, error=str(error)))
    for level in references.levels(asked, lambda one: one.segment.slug, lambda one: one.rule.references()):
        for start in range(0, len(level), SEGMENTS_AT_ONCE):
            outcomes += _refresh_level(run, level[start : start + SEGMENTS_AT_ONCE], shop)
    run.figures = dict(shop.figures)
    run.save(update_fields=["figures"])
    for outcome in outcomes:
        _store(run, outcome, at)
    return outcomes


def _refresh_level(run: Refresh, level: Sequence[_Asked], shop: AsOf) -> list[Outcome]:
    try:
        with transaction.atomic():
            return _refresh_together(run, level, shop)
    except (DatabaseError, RuleError, ArithmeticError, ValueError) as error:
        if len(level) == 1:
            return [Outcome(level[0].segment, error=str(error).strip())]
        return [outcome for one in level for outcome in _refresh_level(run, [one], shop)]


def _refresh_together(run: Refresh, level: Sequence[_Asked], shop: AsOf) -> list[Outcome]:
    questions, figures = [], []
    for one in level:
        shop.figures.used.clear()
        questions.append(one.rule.q(shop))
        figures.append({name: shop.figures[name] for name in shop.figures.used})
    _find_differences(level, questions, shop)
    _ask([_with_cause(one, 1 << place, figures[place], shop) for place, one in enumerate(level)])
    return _write_differences(run, [one.segment for one in level], shop.at)


def _write_differences(run: Refresh, segments: Sequence[Segment], at: datetime) -> list[Outcome]:
    """Append the changes, insert and delete the members, and count."""
    moment = engine.moment(at)
    engine.execute(
        f"""INSERT INTO {_CHANGES} (segment_id, customer_id, printed_id, change, at, cause, refresh_id)
            SELECT a.segment_id, d.customer_id, c.customer_id,
                CASE WHEN d.bits & a.bit <> 0 THEN 'entered' ELSE 'left' END, %s,
                CASE WHEN a.cause <> '' THEN a.cause
                    WHEN c.joined_into_id IS NOT NULL OR EXISTS (
                        SELECT 1 FROM customers_customer v JOIN differences j ON j.customer_id = v.id
                        WHERE v.joined_into_id = c.id AND j.stored & a.bit <> 0) THEN 'merge'
                    WHEN f.settled_at > a.since THEN 'activity' ELSE a.otherwise END, %s
            FROM differences d JOIN asked a ON d.bits & a.bit <> d.stored & a.bit
            JOIN customers_customer c ON c.id = d.customer_id
            LEFT JOIN customers_facts f ON f.customer_id = d.customer_id
            ORDER BY a.segment_id, d.customer_id""",
        [moment, run.pk],
    )
    engine.execute(
        f"""INSERT INTO {_MEMBERS} (customer_id, segment_id, entered_at)
            SELECT d.customer_id, a.segment_id, %s
            FROM differences d JOIN asked a ON d.bits & a.bit <> 0 AND d.stored & a.bit = 0""",
        [moment],
    )
    engine.execute(
        f"""DELETE FROM {_MEMBERS} WHERE (customer_id, segment_id) IN (
                SELECT d.customer_id, a.segment_id
                FROM differences d JOIN asked a ON d.bits & a.bit = 0 AND d.stored & a.bit <> 0)"""
    )
    return _count(segments)


def _find_differences(level: Sequence[_Asked], questions: Sequence[Q], shop: AsOf) -> None:
    """Fill ``differences`` with the customers whose bits now are not the stored ones."""
    bits = {one.segment.pk: 1 << place for place, one in enumerate(level)}
    whole = BigIntegerField()
    answers = (
        Case(When(question, then=Value(bit)), default=Value(0), output_field=whole)
        for question, bit in zip(questions, bits.values(), strict=True)
    )
    customers = evaluation.everybody(shop).values_list("pk", reduce(add, answers))
    sql, params = customers.query.get_compiler(connection=connection).as_sql()
    stored = " ".join(f"WHEN {key} THEN {bit}" for key, bit in bits.items())
    _empty_differences()
    engine.execute(
        f"""INSERT INTO differences
            WITH now (customer_id, bits) AS ({sql}), kept (customer_id, bits) AS (
                SELECT customer_id, CAST(sum(CASE segment_id {stored} END) AS bigint)
                FROM {_MEMBERS} WHERE segment_id IN ({", ".join(map(str, bits))}) GROUP BY customer_id)
            SELECT COALESCE(now.customer_id, kept.customer_id), COALESCE(now.bits, 0), COALESCE(kept.bits, 0)
            FROM now FULL JOIN kept ON kept.customer_id = now.customer_id
            WHERE COALESCE(now.bits, 0) <> COALESCE(kept.bits, 0)""",
        params,
    )
    engine.analyze("differences")


def _empty_differences() -> None:
    engine.temporary_table("differences", "customer_id bigint PRIMARY KEY, bits bigint, stored bigint")


def _with_cause(one: _Asked, bit: int, figures: Mapping[str, Figure], shop: AsOf) -> _Row:
    """Give a segment's bit and why its members change: one cause for all, or what else explains a change."""
    cause = ""
    if one.previous is None:
        cause = Change.Cause.INITIAL.value
    elif one.segment.refreshed_version != one.segment.version:
        cause = Change.Cause.DEFINITION.value
    before = one.previous.figures if one.previous else {}
    moved = any(before.get(name) != figure for name, figure in figures.items())
    otherwise = Change.Cause.POPULATION if moved else Change.Cause.TIME
    since = one.previous.started_at if one.previous else shop.at
    return one.segment.pk, bit, cause, otherwise.value, engine.moment(since)


def _ask(rows: Sequence[_Row]) -> None:
    """Fill ``asked`` with each segment's bit, the cause of all its changes if there is one, and else what decides."""
    kind = engine.moment_type()
    engine.temporary_table(
        "asked", f"segment_id bigint PRIMARY KEY, bit bigint, cause text, otherwise text, since {kind}"
    )
    engine.load("asked", ("segment_id", "bit", "cause", "otherwise", "since"), rows)


def _count(segments: Sequence[Segment]) -> list[Outcome]:
    moved = {
        key: (entered, left)
        for key, entered, left in engine.rows(
            """SELECT a.segment_id, count(*) FILTER (WHERE d.bits & a.bit <> 0),
                    count(*) FILTER (WHERE d.bits & a.bit = 0)
                FROM differences d JOIN asked a ON d.bits & a.bit <> d.stored & a.bit GROUP BY a.segment_id"""
        )
    }
    sizes = {
        key: (size, known)
        for key, size, known in engine.rows(
            f"""SELECT m.segment_id, count(*), count(known.id) FROM {_MEMBERS} m
                LEFT JOIN (SELECT id FROM customers_customer WHERE email <> '' OR phone <> '') AS known
                    ON known.id = m.customer_id
                WHERE m.segment_id IN ({", ".join(str(segment.pk) for segment in segments)})
                GROUP BY m.segment_id"""
        )
    }
    return [
        Outcome(segment, *sizes.get(segment.pk, (0, 0)), *moved.get(segment.pk, (0, 0)))
        for segment in segments
    ]


def _store(run: Refresh, outcome: Outcome, at: datetime) -> None:
    segment = outcome.segment
    RefreshResult.objects.create(
        refresh=run,
        segment=segment,
        version=segment.version,
        size=segment.size if outcome.error else outcome.size,
        known_size=segment.known_size if outcome.error else outcome.known_size,
        entered=outcome.entered,
        left=outcome.left,
        error=outcome.error,
    )
    rows = Segment.objects.filter(pk=segment.pk)
    if outcome.error:
        rows.update(last_error=outcome.error, failing_since=segment.failing_since or run.started_at)
        return
    rows.update(
        size=outcome.size,
        known_size=outcome.known_size,
        refreshed_at=at,
        refreshed_version=segment.version,
        refresh=run,
        last_error="",
        failing_since=None,
    )


def fill(segment: Segment, customers: Iterable[int], at: datetime, cause: Change.Cause) -> Outcome:
    """Make exactly these customers, named by their keys, the members of a fixed list."""
    if segment.is_dynamic:
        raise ValueError(f"{segment.slug} gets its members from its rule")
    facts.settle()
    with transaction.atomic():
        segment = Segment.objects.select_for_update().get(pk=segment.pk)
        run = Refresh.objects.create(at=at, started_at=datetime.now(UTC))
        engine.temporary_table("chosen", "customer_id bigint PRIMARY KEY")
        engine.load("chosen", ("customer_id",), [(key,) for key in set(customers)])
        _empty_differences()
        engine.execute(
            f"""INSERT INTO differences
                SELECT COALESCE(n.customer_id, m.customer_id),
                    CASE WHEN n.customer_id IS NULL THEN 0 ELSE 1 END, CASE WHEN m.customer_id IS NULL THEN 0 ELSE 1 END
                FROM chosen n FULL JOIN (SELECT customer_id FROM {_MEMBERS} WHERE segment_id = %s) AS m
                    ON m.customer_id = n.customer_id
                WHERE n.customer_id IS NULL OR m.customer_id IS NULL""",
            [segment.pk],
        )
        engine.analyze("differences")
        _ask([(segment.pk, 1, cause.value, "", engine.moment(at))])
        [outcome] = _write_differences(run, [segment], at)
        _store(run, outcome, at)
        _finish(run, Refresh.State.DONE, "")
    return outcome
