"""Are the stored members exactly right: compared with a full evaluation from the records alone."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from customers import engine
from customers.models import Customer, Facts, StaleFacts

from . import evaluation
from .models import Change, Membership, Refresh, Segment
from .rules import AsOf, Figures, RuleError, parse

SHOWN = 20


@dataclass(frozen=True)
class Verdict:
    """How one segment's stored members compare; ``missing`` and ``extra`` name up to twenty customers each.

    ``waiting`` counts customers about whom something was recorded since the refresh, or who entered or left a
    segment that the rule refers to: they are left out, since the next refresh re-evaluates them. ``skipped``
    says why a segment could not be compared.
    """

    segment: Segment
    compared: int = 0
    waiting: int = 0
    missing_count: int = 0
    extra_count: int = 0
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def is_right(self) -> bool:
        """Tell whether nothing differs."""
        return not self.missing_count and not self.extra_count


def verify(segments: Iterable[Segment]) -> list[Verdict]:
    """Compare each segment's members with its rule at its own ``refreshed_at``, in one snapshot.

    Facts are summed up again from the records; figures of the population are those stored with the refresh.
    """
    keys = [segment.pk for segment in segments]
    verdicts: list[Verdict] = []
    with engine.snapshot():
        by_instant: dict[tuple[datetime, Refresh], list[Segment]] = defaultdict(list)
        for segment in Segment.objects.select_related("refresh").filter(pk__in=keys).order_by("slug"):
            reason = _reason_to_skip(segment)
            if reason or segment.refreshed_at is None or segment.refresh is None:
                verdicts.append(Verdict(segment, skipped=reason))
            else:
                by_instant[segment.refreshed_at, segment.refresh].append(segment)
        for (at, refresh), together in by_instant.items():
            shop = evaluation.from_records(at, Figures(refresh.figures))
            verdicts += [_compare(segment, refresh, shop) for segment in together]
    return sorted(verdicts, key=lambda verdict: verdict.segment.slug)


def _reason_to_skip(segment: Segment) -> str:
    if not segment.is_dynamic:
        return "a fixed list has no rule to compare with"
    if segment.refreshed_at is None:
        return "never refreshed"
    if segment.refreshed_version != segment.version:
        return "edited since its refresh"
    try:
        parse(segment.rule)
    except RuleError as error:
        return str(error)
    return ""


def _compare(segment: Segment, refresh: Refresh, shop: AsOf) -> Verdict:
    members = Membership.objects.filter(segment=segment, customer=OuterRef("pk"))
    rule = parse(segment.rule)
    waiting = _waiting_q(refresh, rule.references())
    matching = evaluation.matching(rule, shop)
    stored = Customer.objects.filter(Exists(members)).order_by()
    missing = matching.exclude(Exists(members)).exclude(waiting)
    extra = stored.exclude(Exists(matching.filter(pk=OuterRef("pk")))).exclude(waiting)
    return Verdict(
        segment,
        compared=stored.exclude(waiting).count(),
        waiting=Customer.objects.filter(Q(joined_into=None) | Q(Exists(members)), waiting).count(),
        missing_count=missing.count(),
        extra_count=extra.count(),
        missing=_some(missing),
        extra=_some(extra),
    )


def _waiting_q(refresh: Refresh, references: Iterable[str]) -> Q:
    moved = Change.objects.filter(
        customer=OuterRef("pk"), segment__slug__in=references, refresh_id__gt=refresh.pk
    )
    joined = Q(joined_into__isnull=False) & _touched_q("joined_into", refresh)
    return _touched_q("pk", refresh) | joined | Q(Exists(moved))


def _touched_q(customer: str, refresh: Refresh) -> Q:
    settled = Facts.objects.filter(customer=OuterRef(customer), settled_at__gt=refresh.started_at)
    queued = StaleFacts.objects.filter(customer_id=OuterRef(customer))
    return Q(Exists(settled)) | Q(Exists(queued))


def _some(customers: QuerySet[Customer]) -> tuple[str, ...]:
    return tuple(customers.order_by("customer_id").values_list("customer_id", flat=True)[:SHOWN])
