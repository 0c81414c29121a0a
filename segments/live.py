"""The segments of one customer right now, asked of the facts and rules instead of the stored members."""

from datetime import UTC, datetime

from customers import engine, facts

from . import evaluation, questions
from .models import Refresh, Segment
from .rules import AsOf, Figures


def segments_of(customer: int, at: datetime | None = None) -> list[str]:
    """Name the active segments whose rule one customer, named by key, matches now or at a later instant.

    Nothing is written, and nobody else is looked at: figures of the population are those of the last refresh,
    and members of the segments that rules refer to are the stored ones.
    """
    segments = list(Segment.objects.active().order_by("pk").only("slug", "rule", "refresh"))
    if not segments:
        return []
    shop = _open(customer, at or datetime.now(UTC), max(one.refresh_id or 0 for one in segments))
    found: list[str] = []
    for start in range(0, len(segments), questions.SEGMENTS_AT_ONCE):
        part = segments[start : start + questions.SEGMENTS_AT_ONCE]
        for _, bits, _ in engine.rows(*questions.of(part).of_one(customer, shop)):
            found += [segment.slug for place, segment in enumerate(part) if bits & 1 << place]
    return found


def _open(customer: int, at: datetime, refresh: int) -> AsOf:
    """Open the shop for one customer: from the stored facts, unless something about the customer waits."""
    figures = Refresh.objects.filter(pk=refresh).values_list("figures", flat=True).first()
    relation = "facts_as_of" if facts.waits(customer, at) else "facts"
    if relation == "facts_as_of":
        facts.recompute_at(at, f"SELECT id FROM customers_customer WHERE id = {int(customer)}")
    return AsOf(at, evaluation.zone(), relation, Figures(figures or {}))
