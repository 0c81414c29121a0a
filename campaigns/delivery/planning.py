"""Plans deliveries, holds back planned ones, and moves those of merged visitors. Writes ``Delivery``."""

from typing import Final

from campaigns.models import Campaign, Delivery
from core.db import dialect, execution
from core.db.sql import Query, Sql, compose
from customers.identity import merging

NO_LIMIT: Final = 2**62
"""A LIMIT without effect. With it, query planners look up one customer's messages, not all planned ones."""

_TABLE: Final = Delivery._meta.db_table


def plan_deliveries(due: Query) -> int:
    """Plan the messages that a query of campaign, step, customer, occasion and instant selects, each once."""
    return execution.execute(
        compose(
            f"""INSERT INTO {_TABLE} (campaign_id, step_id, customer_id, occasion, token, state, planned_for,
                not_before, attempts, reason, clicks)
            SELECT campaign_id, step_id, customer_id, occasion, {dialect.random_uuid_sql()}, 'planned', due_at, due_at,
                0, '', 0
            FROM ({{due}}) AS due WHERE true ON CONFLICT (campaign_id, step_id, customer_id, occasion) DO NOTHING""",
            due=due,
        )
    )


def hold_back_deliveries(reason: str, campaign: Campaign, customers: Query | None = None) -> int:
    """Hold back the planned messages of a campaign, for all customers or for those whose keys a query selects."""
    of_customers = (
        Sql("") if customers is None else compose("AND customer_id IN ({customers})", customers=customers)
    )
    return execution.execute(
        compose(
            f"""UPDATE {_TABLE} SET state = 'held_back', reason = {{reason}}
                WHERE campaign_id = {{campaign}} AND state = 'planned' {{of_customers}}""",
            reason=reason,
            campaign=campaign.pk,
            of_customers=of_customers,
        )
    )


def reassign_deliveries(merged: str, ended: Query, reason: str) -> None:
    """Move the deliveries of merged visitors to their customers.

    ``merged`` is a table of visitor and customer. ``ended`` selects campaign, customer and occasion, as they are before
    the merge: planned messages of these are held back. Visitor and customer may share the occasion of a date, so the
    visitor's becomes their own.
    """
    execution.execute(
        compose(
            f"""UPDATE {_TABLE} SET state = 'held_back', reason = {{reason}}
                WHERE state = 'planned' AND (campaign_id, customer_id, occasion) IN ({{ended}})""",
            reason=reason,
            ended=ended,
        )
    )
    execution.execute(distinguish_dates_sql(_TABLE, merged))
    merging.update_customers(_TABLE, merged)


def distinguish_dates_sql(table: str, merged: str) -> Sql:
    """Return the statement that makes the date occasions of merged visitors differ from those of their customers."""
    return Sql(
        f"""UPDATE {table} SET occasion = occasion || ':' || customer_id
            WHERE customer_id IN (SELECT visitor FROM {merged}) AND occasion LIKE 'date:%%'"""
    )
