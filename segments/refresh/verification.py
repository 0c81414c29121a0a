"""Verification: comparing the stored members with a full evaluation of the records."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Q
from django.db.models.expressions import RawSQL

from core.db import execution, temporary_tables, transactions
from customers.models import AppendedEvent, AppendedOrder, Customer, FactsAsOf, StaleFacts, Touched
from segments.evaluation.compiler import MAX_RULES_PER_STATEMENT, compile_rules
from segments.evaluation.context import context_from_records
from segments.evaluation.expansion import expand_segments
from segments.models import Membership, Refresh, Segment, Verification
from segments.rules import EvaluationContext, PopulationStatistics, RuleError

from . import differences
from .plan import is_edited

MAX_EXAMPLES = 20
RANGE_SIZE = 20_000  # customers that are compared together
QUEUES = (StaleFacts, AppendedEvent, AppendedOrder, Touched)
_WAITING: Final = RawSQL("SELECT customer_id FROM waiting", ())


@dataclass(frozen=True)
class Verdict:
    """The result for one segment. ``missing`` and ``extra`` name up to twenty customers each.

    ``waiting`` counts customers in a queue, which the next refresh evaluates; they are left out. ``skipped`` is the
    reason why a segment was not compared, or why no customer was left to compare.
    """

    segment: Segment
    compared: int = 0
    waiting: int = 0
    missing_count: int = 0
    extra_count: int = 0
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    wrong_size: str = ""
    skipped: str = ""

    @property
    def is_correct(self) -> bool:
        return not (self.missing_count or self.extra_count or self.wrong_size)


def verify(segments: Iterable[Segment]) -> list[Verdict]:
    """Compare each segment's members with its rule at its own ``refreshed_at``, in one snapshot.

    Facts are recomputed from the records, for one range of customers after the other. Population statistics are those
    stored with the refresh.
    """
    keys = [segment.pk for segment in segments]
    verdicts: list[Verdict] = []
    with transactions.snapshot():
        by_instant: dict[tuple[datetime, Refresh], list[Segment]] = defaultdict(list)
        for segment in Segment.objects.select_related("refresh").filter(pk__in=keys).order_by("slug"):
            reason = _reason_to_skip(segment)
            if reason or segment.refreshed_at is None or segment.refresh is None:
                verdicts.append(Verdict(segment, skipped=reason))
            else:
                by_instant[segment.refreshed_at, segment.refresh].append(segment)
        if by_instant:
            waiting = _collect_waiting()
            for (at, refresh), group in by_instant.items():
                verdicts += _Comparison(
                    group, at, PopulationStatistics(refresh.statistics), waiting
                ).verdicts()
    return sorted(verdicts, key=lambda verdict: verdict.segment.slug)


def verify_all(at: datetime) -> list[Verdict]:
    """Verify all segments, and store the results for staff."""
    run = Verification.objects.create(started_at=at)
    try:
        verdicts = verify(Segment.objects.all())
    except Exception as error:
        run.finished_at, run.error = datetime.now(UTC), f"{type(error).__name__}: {error}"
        run.save(update_fields=["finished_at", "error"])
        raise
    compared = [verdict for verdict in verdicts if not verdict.skipped]
    run.finished_at = datetime.now(UTC)
    run.segments, run.members = len(compared), sum(verdict.compared for verdict in compared)
    run.waiting = max((verdict.waiting for verdict in compared), default=0)
    run.differing = sum(not verdict.is_correct for verdict in compared)
    run.details = [
        _verdict_details(verdict) for verdict in verdicts if verdict.skipped or not verdict.is_correct
    ]
    run.save()
    return verdicts


def delete_examples(customers: Sequence[int]) -> None:
    """Delete customers from the examples of past verifications."""
    public_ids = set(Customer.objects.filter(pk__in=customers).values_list("customer_id", flat=True))
    for run in Verification.objects.exclude(details=[]).only("details"):
        details = [
            detail
            | {
                name: [public_id for public_id in detail[name] if public_id not in public_ids]
                for name in ("missing", "extra")
                if name in detail
            }
            for detail in run.details
        ]
        if details != run.details:
            Verification.objects.filter(pk=run.pk).update(details=details)


def _verdict_details(verdict: Verdict) -> dict[str, Any]:
    details = asdict(replace(verdict, segment=verdict.segment.slug))  # type: ignore[arg-type]
    return {name: value for name, value in details.items() if value}


def _reason_to_skip(segment: Segment) -> str:
    if not segment.is_dynamic:
        return "a fixed list has no rule to compare with"
    if segment.refreshed_at is None:
        return "never refreshed"
    if not segment.is_active:
        return "paused"
    if not segment.is_incremental:
        return "its next refresh evaluates all customers"
    try:
        [expanded] = expand_segments([segment])
    except RuleError as error:
        return str(error)
    return "edited since its refresh" if is_edited(segment, expanded) else ""


def _collect_waiting() -> int:
    """Collect the customers in a queue in the table ``waiting``. Return how many are customers or still members."""
    temporary_tables.create_temporary_table("waiting", "customer_id bigint PRIMARY KEY")
    execution.execute(
        "INSERT INTO waiting "
        + " UNION ".join(f"SELECT customer_id FROM {queue._meta.db_table}" for queue in QUEUES)
    )
    return (
        Customer.objects.filter(Q(merged_into=None) | Q(memberships__isnull=False), pk__in=_WAITING)
        .distinct()
        .count()
    )


class _Comparison:
    """Compares the members of segments that were refreshed at the same instant, by ranges of customers."""

    def __init__(
        self, segments: Sequence[Segment], at: datetime, statistics: PopulationStatistics, waiting: int
    ) -> None:
        self.segments, self.at, self.statistics, self.waiting = segments, at, statistics, waiting
        rules = expand_segments(segments)
        self.rules = {segment.pk: rule for segment, rule in zip(segments, rules, strict=True)}
        self.found_customers = False
        self.counts: Counter[tuple[int, str]] = Counter()
        self.examples: dict[tuple[int, str], list[str]] = defaultdict(list)

    def verdicts(self) -> list[Verdict]:
        for table in _ranges():
            context = context_from_records(self.at, self.statistics, table)
            self.found_customers = self.found_customers or bool(
                execution.fetch_all(f"SELECT 1 FROM {FactsAsOf._meta.db_table} LIMIT 1")
            )
            for start in range(0, len(self.segments), MAX_RULES_PER_STATEMENT):
                self._compare(self.segments[start : start + MAX_RULES_PER_STATEMENT], table, context)
        keys = ", ".join(str(segment.pk) for segment in self.segments)
        count = f"SELECT segment_id, count(*) FROM {Membership._meta.db_table} WHERE segment_id IN ({keys})"
        sizes: dict[int, int] = dict(execution.fetch_all(f"{count} GROUP BY segment_id"))
        waiting: dict[int, int] = dict(
            execution.fetch_all(
                f"{count} AND customer_id IN (SELECT customer_id FROM waiting) GROUP BY segment_id"
            )
        )
        return [
            self._verdict(segment, sizes.get(segment.pk, 0), waiting.get(segment.pk, 0))
            for segment in self.segments
        ]

    def _compare(self, segments: Sequence[Segment], table: str, context: EvaluationContext) -> None:
        """Compare the customers in a table with the answers from their records."""
        differences.empty_differences()
        answers = compile_rules([self.rules[segment.pk] for segment in segments]).table_answers_sql(
            table, context
        )
        if not differences.add_differences(segments, answers, table):
            return
        for place, segment in enumerate(segments):
            bit = 1 << place
            for kind, has, lacks in (("missing", "bits", "stored"), ("extra", "stored", "bits")):
                differing = (
                    f"SELECT customer_id FROM differences WHERE {has} & {bit} <> 0 AND {lacks} & {bit} = 0"
                )
                [(count,)] = execution.fetch_all(f"SELECT count(*) FROM ({differing}) AS differing")
                if count:
                    self.counts[segment.pk, kind] += count
                    customers = Customer.objects.filter(pk__in=RawSQL(differing, ())).order_by("customer_id")
                    names = customers.values_list("customer_id", flat=True)[:MAX_EXAMPLES]
                    examples = self.examples[segment.pk, kind]
                    examples[:] = sorted([*examples, *names])[:MAX_EXAMPLES]

    def _verdict(self, segment: Segment, size: int, waiting: int) -> Verdict:
        verdict = Verdict(
            segment,
            compared=size - waiting,
            waiting=self.waiting,
            missing_count=self.counts[segment.pk, "missing"],
            extra_count=self.counts[segment.pk, "extra"],
            missing=tuple(self.examples[segment.pk, "missing"]),
            extra=tuple(self.examples[segment.pk, "extra"]),
            wrong_size=""
            if size == segment.size
            else f"the size says {segment.size}, the members are {size}",
        )
        if verdict.is_correct and not verdict.compared and not self.found_customers:
            return Verdict(segment, waiting=self.waiting, skipped=_reason_nobody_compared(self.waiting))
        return verdict


def _ranges() -> Iterator[str]:
    """Copy the keys of the customers who do not wait to a table, in ranges; yield its name for each range."""
    last_key = 0
    while True:
        temporary_tables.create_temporary_table("verified", "customer_id bigint PRIMARY KEY")
        found = execution.execute(
            f"""INSERT INTO verified (customer_id) SELECT id FROM {Customer._meta.db_table}
                WHERE id > %s AND id NOT IN (SELECT customer_id FROM waiting) ORDER BY id LIMIT {RANGE_SIZE}""",
            [last_key],
        )
        if not found:
            return
        [(last_key,)] = execution.fetch_all("SELECT max(customer_id) FROM verified")
        yield "verified"


def _reason_nobody_compared(waiting: int) -> str:
    if waiting:
        return f"nobody is left to compare: all {waiting} customers wait for the next refresh"
    return "there are no customers to compare"
