"""Are the stored members exactly right: compared with a full evaluation from the records alone."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from customers import engine
from customers.models import Customer, StaleFacts

from . import evaluation
from .models import Membership, Refresh, Segment
from .rules import AsOf, Figures, parse

SHOWN = 20


@dataclass(frozen=True)
class Verdict:
    """How one segment's stored members compare; ``missing`` and ``extra`` name up to twenty customers each.

    ``waiting`` counts customers about whom something was recorded since the refresh: they are left out, since
    the next refresh re-evaluates them. ``skipped`` says why a segment could not be compared.
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
    return ""


def _compare(segment: Segment, refresh: Refresh, shop: AsOf) -> Verdict:
    members = Membership.objects.filter(segment=segment, customer=OuterRef("pk"))
    waiting = _waiting_q(refresh)
    matching = evaluation.matching(parse(segment.rule), shop)
    stored = Customer.objects.filter(Exists(members)).order_by()
    missing = matching.exclude(Exists(members)).exclude(waiting)
    extra = stored.exclude(Exists(matching.filter(pk=OuterRef("pk")))).exclude(waiting)
    return Verdict(
        segment,
        compared=stored.exclude(waiting).count(),
        waiting=Customer.objects.filter(waiting).count(),
        missing_count=missing.count(),
        extra_count=extra.count(),
        missing=_some(missing),
        extra=_some(extra),
    )


def _waiting_q(refresh: Refresh) -> Q:
    queued = StaleFacts.objects.filter(customer_id=OuterRef("pk"))
    return Q(facts__settled_at__gt=refresh.started_at) | Q(Exists(queued)) | Q(joined_into__isnull=False)


def _some(customers: QuerySet[Customer]) -> tuple[str, ...]:
    return tuple(customers.order_by("customer_id").values_list("customer_id", flat=True)[:SHOWN])
