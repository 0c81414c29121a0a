"""Creating evaluation contexts: the instant, the facts at that instant, and the population statistics."""

from collections.abc import Collection
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.db.sql import Sql
from core.shop import shop
from customers.facts import relations, update
from segments.rules import EvaluationContext, PopulationStatistics


def context_at(
    at: datetime | None = None,
    statistics: PopulationStatistics | None = None,
    *,
    asks_rules: bool = False,
) -> EvaluationContext:
    """Return the context of an instant, by default now. Statistics that are not given are computed when needed.

    Queued facts are updated first, so that every record counts. For ``asks_rules`` see EvaluationContext.
    """
    now = datetime.now(UTC)
    update.update_facts(now if at is None else min(at, now))
    if at is None:
        at = current_instant(now)
    return stored_context_at(at, statistics, asks_rules=asks_rules)


def stored_context_at(
    at: datetime,
    statistics: PopulationStatistics | None = None,
    *,
    asks_rules: bool = False,
    only: Collection[str] | None = None,
) -> EvaluationContext:
    """Return the context of an instant, without the records whose facts are queued.

    ``only`` are the facts that its rules read, if they are known.
    """
    return EvaluationContext(
        at,
        shop_zone(),
        relations.prepare_relation(at, only=only),
        PopulationStatistics() if statistics is None else statistics,
        asks_rules=asks_rules,
    )


def context_from_records(
    at: datetime, statistics: PopulationStatistics, table: str = "", *, asks_rules: bool = False
) -> EvaluationContext:
    """Return the context of an instant with facts that are recomputed from the records.

    They are those of all customers, or only of those in a temporary table.
    """
    relation = (
        relations.prepare_recomputed_relation(at, Sql(f"SELECT customer_id FROM {table}"))
        if table
        else relations.prepare_recomputed_relation(at)
    )
    return EvaluationContext(at, shop_zone(), relation, statistics, asks_rules=asks_rules)


def current_instant(now: datetime) -> datetime:
    """Return ``now``, or the instant of the stored facts if that is later."""
    return max(now, update.facts_updated_until() or now)


def shop_zone() -> ZoneInfo:
    return shop().zone
