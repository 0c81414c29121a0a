"""Starts, advances and stops journeys. The only writer of ``Journey``.

The times of a journey's steps follow from its start, even if a message is delayed.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db.models import Q

from campaigns.channels.registry import keys_without_messages
from campaigns.delivery import planning, sending_policy
from campaigns.delivery.planning import NO_LIMIT
from campaigns.delivery.policy_queries import Endings, Stay
from campaigns.models import Campaign, Delivery, Journey, Step
from core.db import backends, dialect, execution, locks, temporary_tables, transactions
from core.db.sql import Query, Sql, compose
from customers.identity import merging
from customers.models import Customer

JOURNEY_BATCH_SIZE: Final = 2_000
ANALYZE_THRESHOLD: Final = 10_000  # planned messages after which the table is analyzed at once
MERGED: Final = "The visitor was merged into a customer, who is already in this campaign."

_TABLE: Final = Journey._meta.db_table
_CAMPAIGNS, _STEPS, _DELIVERIES = (model._meta.db_table for model in (Campaign, Step, Delivery))
State = Journey.State


def acquire_lock() -> None:
    """Lock journeys against other writers until the transaction ends."""
    locks.acquire("journeys")


# -- Starting and stopping


def start_journeys(campaign: Campaign, starts: Query) -> int:
    """Start journeys for a query of ``customer_id, occasion, at``. Return how many. The caller holds the lock.

    The query reads no table of customers, which may be on other machines. A customer starts once per occasion, and
    again only when the campaign allows it.
    """
    first = campaign.steps.order_by("number").first()
    if first is None:
        return 0
    newest = _max_id(_TABLE)
    started = execution.execute(
        compose(
            f"""INSERT INTO {_TABLE} (campaign_id, customer_id, occasion, began_at, next_step, due_at, state, reason)
                SELECT {campaign.pk}, p.customer_id, p.occasion, p.at, {first.number},
                    {dialect.datetime_plus_sql("p.at", dialect.interval_sql(first.wait))}, 'active', ''
                FROM ({{starts}}) AS p WHERE {_may_start_sql(campaign)}
                ON CONFLICT (campaign_id, customer_id, occasion) DO NOTHING""",
            starts=starts,
        )
    )
    _follow_late_merges(_TABLE, newest)
    return started


def _may_start_sql(campaign: Campaign) -> str:
    reentry_after = campaign.reentry_after
    if reentry_after is None and campaign.trigger in (Campaign.Trigger.AT, Campaign.Trigger.EVERY):
        return "true"  # each date starts a journey
    too_recent = (
        ""
        if reentry_after is None
        else f"AND {dialect.datetime_plus_sql('e.began_at', dialect.interval_sql(reentry_after))} > p.at"
    )
    return f"""NOT EXISTS (SELECT 1 FROM {_TABLE} e
        WHERE e.campaign_id = {campaign.pk} AND e.customer_id = p.customer_id {too_recent})"""


def stop_journeys(campaign: Campaign, reason: str, at: datetime, customers: Query | None = None) -> None:
    """Stop journeys and hold back their planned messages, for all customers or those whose keys a query selects.

    The caller holds the lock.
    """
    of_customers = (
        Sql("") if customers is None else compose("AND customer_id IN ({customers})", customers=customers)
    )
    execution.execute(
        compose(
            f"""UPDATE {_TABLE} SET state = 'stopped', due_at = NULL, ended_at = {{at}}, reason = {{reason}}
                WHERE campaign_id = {{campaign}} AND state = 'active' {{of_customers}}""",
            at=dialect.datetime_param(at),
            reason=reason,
            campaign=campaign.pk,
            of_customers=of_customers,
        )
    )
    planning.hold_back_deliveries(reason, campaign, customers)


# -- Advancing


def advance_journeys(at: datetime) -> int:
    """Plan the messages of due steps and move the journeys to their next step. Return how many steps were due."""
    steps = 0
    while due := transactions.retry_on_conflict(lambda: _advance_batch(at)):
        steps += due
    if steps >= ANALYZE_THRESHOLD:
        temporary_tables.analyze_table(_DELIVERIES)
    return steps


def _advance_batch(at: datetime) -> int:
    acquire_lock()
    due = _due_journey_ids(at)
    if due:
        _stop_ended_journeys(due, at)
        newest = _max_id(_DELIVERIES)
        still_active = f"j.id IN ({', '.join(map(str, due))}) AND j.state = 'active'"
        silent = ", ".join(f"'{key}'" for key in keys_without_messages())
        sends = f"AND s.channel NOT IN ({silent})" if silent else ""
        planning.plan_deliveries(
            Sql(
                f"""SELECT j.campaign_id, s.id AS step_id, j.customer_id, j.occasion, j.due_at
                    FROM {_TABLE} j JOIN {_STEPS} s ON s.campaign_id = j.campaign_id AND s.number = j.next_step
                    WHERE {still_active} {sends} ORDER BY j.due_at, j.id"""
            )
        )
        _move_to_next_step(due, at)
        _follow_late_merges(_DELIVERIES, newest)
    return len(due)


def _due_journey_ids(at: datetime) -> list[int]:
    """Return the journeys whose next step is due. A step waits until the message of the previous one has an outcome."""
    of_customer = f"SELECT * FROM {_DELIVERIES} d WHERE d.customer_id = j.customer_id LIMIT {NO_LIMIT}"
    return [
        key
        for (key,) in execution.fetch_all(
            f"""SELECT j.id FROM {_TABLE} j JOIN {_CAMPAIGNS} c ON c.id = j.campaign_id AND c.state = 'running'
                WHERE j.state = 'active' AND j.due_at <= %s AND NOT EXISTS (SELECT 1 FROM ({of_customer}) AS d
                    WHERE d.campaign_id = j.campaign_id AND d.occasion = j.occasion
                        AND d.state IN ('planned', 'sending'))
                ORDER BY j.due_at, j.id LIMIT {JOURNEY_BATCH_SIZE}""",
            [dialect.datetime_param(at)],
        )
    ]


def _stop_ended_journeys(due: list[int], at: datetime) -> None:
    """Stop the journeys of customers who have ordered, left or come back, as their campaign says."""
    ending = Q(campaign__ends_with_order=True) | Q(campaign__exit_when_not_member=True)
    journeys = list(
        Journey.objects.filter(ending, pk__in=due, state=State.ACTIVE).values_list(
            "pk", "customer_id", "campaign_id", "began_at"
        )
    )
    if not journeys:
        return
    campaigns = Campaign.objects.in_bulk({campaign for _, _, campaign, _ in journeys})
    stays = [
        Stay(key, customer, campaigns[campaign], began_at) for key, customer, campaign, began_at in journeys
    ]
    endings = Endings(stays, at)
    ended: dict[str, list[int]] = {}
    for stay in stays:
        if endings.has_ordered(stay):
            ended.setdefault(sending_policy.ORDERED, []).append(stay.key)
        elif endings.has_exited(stay):
            ended.setdefault(sending_policy.exit_reason(stay.campaign), []).append(stay.key)
    for reason, keys in ended.items():
        Journey.objects.filter(pk__in=keys, state=State.ACTIVE).update(
            state=State.STOPPED, due_at=None, ended_at=at, reason=reason
        )


def _move_to_next_step(due: list[int], at: datetime) -> None:
    still_active = f"id IN ({', '.join(map(str, due))}) AND state = 'active'"
    execution.execute(
        f"""UPDATE {_TABLE} SET next_step = next_step + 1, due_at = (
                SELECT {dialect.datetime_plus_sql(f"{_TABLE}.due_at", "s.wait")} FROM {_STEPS} s
                WHERE s.campaign_id = {_TABLE}.campaign_id AND s.number = {_TABLE}.next_step + 1)
            WHERE {still_active}"""
    )
    execution.execute(
        f"UPDATE {_TABLE} SET state = 'finished', ended_at = %s WHERE {still_active} AND due_at IS NULL",
        [dialect.datetime_param(at)],
    )


# -- Merged visitors


def reassign_journeys(merged: str) -> None:
    """Move the journeys of merged visitors, with their deliveries, to their customers.

    ``merged`` is a table of visitor and customer, inside the transaction that merges them. Of two journeys that one
    customer could not have had, the later one stops.
    """
    if not execution.fetch_all(
        f"SELECT 1 FROM {_TABLE} WHERE customer_id IN (SELECT visitor FROM {merged}) LIMIT 1"
    ):
        return
    temporary_tables.create_temporary_table(
        "journeys_ended", "campaign_id bigint, customer_id bigint, occasion text"
    )
    execution.execute(
        f"""INSERT INTO journeys_ended
            WITH theirs AS (
                SELECT y.*, COALESCE(j.customer, y.customer_id) AS person
                FROM {_TABLE} y LEFT JOIN {merged} j ON j.visitor = y.customer_id
                WHERE y.customer_id IN (SELECT visitor FROM {merged} UNION SELECT customer FROM {merged}))
            SELECT y.campaign_id, y.customer_id, y.occasion
            FROM theirs y JOIN {_CAMPAIGNS} c ON c.id = y.campaign_id
            WHERE y.state = 'active' AND EXISTS (SELECT 1 FROM theirs e
                WHERE e.person = y.person AND e.campaign_id = y.campaign_id AND e.customer_id <> y.customer_id
                    AND (e.began_at < y.began_at OR (e.began_at = y.began_at AND e.id < y.id))
                    AND (e.occasion = y.occasion OR CASE WHEN c.reentry_after IS NULL
                        THEN c.trigger IN ('enters', 'leaves')
                        ELSE {dialect.datetime_plus_sql("e.began_at", "c.reentry_after")} > y.began_at END))"""
    )
    ended = Sql("SELECT campaign_id, customer_id, occasion FROM journeys_ended")
    execution.execute(
        compose(
            f"""UPDATE {_TABLE} SET state = 'stopped', due_at = NULL, ended_at = began_at, reason = {{reason}}
                WHERE (campaign_id, customer_id, occasion) IN ({{ended}})""",
            reason=MERGED,
            ended=ended,
        )
    )
    planning.reassign_deliveries(merged, ended, MERGED)
    execution.execute(planning.distinguish_dates_sql(_TABLE, merged))
    merging.update_customers(_TABLE, merged)


def _max_id(table: str) -> int:
    [(newest,)] = execution.fetch_all(f"SELECT COALESCE(max(id), 0) FROM {table}")
    return int(newest)


def _follow_late_merges(table: str, newest: int) -> None:
    """Reassign rows just inserted for visitors who were merged since the query read them."""
    if not backends.is_postgresql():  # SQLite has no concurrent writer
        return
    customers = {
        key for (key,) in execution.fetch_all(f"SELECT customer_id FROM {table} WHERE id > {newest}")
    }
    # A concurrent merge holds the lock of its visitors, and is visible once it has ended.
    execution.lock_rows("customers_customer", customers, "KEY SHARE")
    temporary_tables.create_temporary_table("merged_late", "visitor bigint PRIMARY KEY, customer bigint")
    temporary_tables.load_rows("merged_late", ("visitor", "customer"), _merged_among(customers))
    reassign_journeys("merged_late")


def _merged_among(customers: Collection[int]) -> list[execution.Row]:
    return [
        row
        for part in execution.batches([*customers])
        for row in Customer.objects.filter(pk__in=part, merged_into__isnull=False).values_list(
            "pk", "merged_into_id"
        )
    ]
