"""Verification: comparing the stored members with a full evaluation of the records."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from core.db import execution, temporary_tables, transactions
from customers.models import AppendedEvent, AppendedOrder, Customer, StaleFacts, Touched
from segments.evaluation.context import context_from_records
from segments.evaluation.matching import customers_matching, existing_customers
from segments.models import Membership, Refresh, Segment, Verification
from segments.rules import EvaluationContext, PopulationStatistics, RuleError, parse

MAX_EXAMPLES = 20
QUEUES = (StaleFacts, AppendedEvent, AppendedOrder, Touched)


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

    Facts are recomputed from the records. Population statistics are those stored with the refresh.
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
            waiting = _waiting_q()
            count = Customer.objects.filter(Q(merged_into=None) | Q(memberships__isnull=False), waiting)
            waiting_count = count.distinct().count()
        for (at, refresh), group in by_instant.items():
            context = context_from_records(at, PopulationStatistics(refresh.statistics))
            verdicts += [_compare(segment, context, waiting, waiting_count) for segment in group]
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
    if segment.refreshed_version != segment.version:
        return "edited since its refresh"
    if not segment.is_active:
        return "paused"
    if not segment.is_incremental:
        return "its next refresh evaluates all customers"
    try:
        parse(segment.rule)
    except RuleError as error:
        return str(error)
    return ""


def _waiting_q() -> Q:
    """Build the query of customers in a queue. They are collected in a table first."""
    temporary_tables.create_temporary_table("waiting", "customer_id bigint PRIMARY KEY")
    execution.execute(
        "INSERT INTO waiting "
        + " UNION ".join(f"SELECT customer_id FROM {queue._meta.db_table}" for queue in QUEUES)
    )
    return Q(pk__in=RawSQL("SELECT customer_id FROM waiting", ()))


def _compare(segment: Segment, context: EvaluationContext, waiting: Q, waiting_count: int) -> Verdict:
    members = Membership.objects.filter(segment=segment, customer=OuterRef("pk"))
    matching = customers_matching(parse(segment.rule), context)
    stored = Customer.objects.filter(Exists(members)).order_by()
    missing = matching.exclude(Exists(members)).exclude(waiting)
    extra = stored.exclude(Exists(matching.filter(pk=OuterRef("pk")))).exclude(waiting)
    size = Membership.objects.filter(segment=segment).count()
    verdict = Verdict(
        segment,
        compared=stored.exclude(waiting).count(),
        waiting=waiting_count,
        missing_count=missing.count(),
        extra_count=extra.count(),
        missing=_examples(missing),
        extra=_examples(extra),
        wrong_size="" if size == segment.size else f"the size says {segment.size}, the members are {size}",
    )
    if (
        verdict.is_correct
        and not verdict.compared
        and not existing_customers(context).exclude(waiting).exists()
    ):
        return Verdict(segment, waiting=waiting_count, skipped=_reason_nobody_compared(waiting_count))
    return verdict


def _reason_nobody_compared(waiting: int) -> str:
    if waiting:
        return f"nobody is left to compare: all {waiting} customers wait for the next refresh"
    return "there are no customers to compare"


def _examples(customers: QuerySet[Customer]) -> tuple[str, ...]:
    return tuple(customers.order_by("customer_id").values_list("customer_id", flat=True)[:MAX_EXAMPLES])
