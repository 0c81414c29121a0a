"""Starts and stops journeys: for membership changes past the campaign's cursor, for dates, and at the start.

Moves the cursors of running campaigns. Changes are read in the order of their ids, which is their commit order.
The changes of one customer are processed one after another.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Final

from campaigns.delivery import sending_policy
from campaigns.models import Campaign, Journey
from core.db import dialect, execution, temporary_tables, transactions
from core.db.sql import Sql
from segments.models import Change, Membership

from . import progress, schedule

CHANGE_BATCH_SIZE: Final = 20_000

_CHANGES, _MEMBERS = Change._meta.db_table, Membership._meta.db_table
_JOURNEYS: Final = Journey._meta.db_table
_INITIAL, _DEFINITION = Change.Cause.INITIAL.value, Change.Cause.DEFINITION.value


def process_triggers(at: datetime) -> int:
    """Process new changes and due dates of all running campaigns. Return how many journeys started."""
    started = 0
    running = Campaign.objects.filter(state=Campaign.State.RUNNING).order_by("pk")
    for key in running.values_list("pk", flat=True):
        has_more = True
        while has_more:
            count, has_more = transactions.retry_on_conflict(partial(_process_batch, key, at))
            started += count
    return started


def _process_batch(key: int, at: datetime) -> tuple[int, bool]:
    """Process a batch of changes, then the dates. Return how many journeys started, and whether changes are left."""
    progress.acquire_lock()
    campaign = Campaign.objects.select_for_update().filter(pk=key, state=Campaign.State.RUNNING).first()
    if campaign is None:
        return 0, False
    unread = Change.objects.filter(segment=campaign.segment_id, pk__gt=campaign.cursor).order_by("pk")
    until = unread.values_list("pk", flat=True)[CHANGE_BATCH_SIZE - 1 : CHANGE_BATCH_SIZE].first()
    has_more = until is not None
    until = until or Change.objects.filter(segment=campaign.segment_id).latest_id()
    started = 0
    if until > campaign.cursor:
        started = _process_changes(campaign, until, at)
        Campaign.objects.filter(pk=key).update(cursor=until)
    if not has_more:
        started += _start_for_due_date(campaign, at) + _start_for_current_members(campaign, at)
    return started, has_more


def _process_changes(campaign: Campaign, until: int, at: datetime) -> int:
    """Start and stop journeys for changes, in each customer's order."""
    starts, exits = _starts_sql(campaign), _exits_sql(campaign)
    if (starts, exits) == ("false", "false"):
        return 0
    new = f"segment_id = {campaign.segment_id} AND id > {campaign.cursor} AND id <= {until}"
    _gather_changed(new, with_merges=starts != "false")
    temporary_tables.create_temporary_table(
        "trigger_changes",
        f"customer_id bigint, nth integer, starts integer, occasion text, at {dialect.datetime_type_sql()}",
    )
    execution.execute(
        f"""INSERT INTO trigger_changes (customer_id, nth, starts, occasion, at)
            SELECT person, row_number() OVER (PARTITION BY person ORDER BY id), starts, 'change:' || id, at
            FROM (SELECT COALESCE(p.merged_into, p.id) AS person, c.id, c.at,
                    CASE WHEN {starts} THEN 1 ELSE 0 END AS starts
                FROM (SELECT * FROM {_CHANGES} WHERE {new}) AS c JOIN changed_customers p ON p.id = c.customer_id
                WHERE {starts} OR {exits}) AS changes"""
    )
    [(rounds,)] = execution.fetch_all("SELECT COALESCE(max(nth), 0) FROM trigger_changes")
    started = 0
    for nth in range(1, rounds + 1):
        if exits != "false":
            leavers = Sql("SELECT customer_id FROM trigger_changes WHERE nth = %s AND starts = 0", (nth,))
            progress.stop_journeys(campaign, sending_policy.exit_reason(campaign), at, leavers)
        started += progress.start_journeys(
            campaign,
            Sql(
                "SELECT customer_id, occasion, at FROM trigger_changes WHERE nth = %s AND starts = 1", (nth,)
            ),
        )
    return started


def _gather_changed(new: str, *, with_merges: bool) -> None:
    """Gather the customers of changes, and the visitors who were merged into those who changed by a merge."""
    temporary_tables.create_temporary_table(
        "changed_customers", "id bigint PRIMARY KEY, merged_into bigint", joined_on=("id",)
    )
    execution.execute(
        f"""INSERT INTO changed_customers SELECT id, merged_into_id FROM customers_customer
            WHERE id IN (SELECT customer_id FROM {_CHANGES} WHERE {new})"""
    )
    temporary_tables.create_temporary_table(
        "changed_visitors", "id bigint PRIMARY KEY, merged_into bigint", joined_on=("id",)
    )
    merges = f"{new} AND cause = 'merge'"
    if with_merges and execution.fetch_all(f"SELECT 1 FROM {_CHANGES} WHERE {merges} LIMIT 1"):
        execution.execute(
            f"""INSERT INTO changed_visitors SELECT id, merged_into_id FROM customers_customer
                WHERE merged_into_id IN (SELECT customer_id FROM {_CHANGES} WHERE {merges})"""
        )


def _starts_sql(campaign: Campaign) -> str:
    """Return the condition for a change ``c`` of a customer ``p`` that starts a journey.

    In a merge, the visitor leaves and the customer enters what the visitor was in; neither starts a journey. If the
    merged history matches a segment that neither matched before, entering it does.
    """
    if campaign.trigger not in (Campaign.Trigger.ENTERS, Campaign.Trigger.LEAVES):
        return "false"
    kind = Change.Kind.ENTERED if campaign.trigger == Campaign.Trigger.ENTERS else Change.Kind.LEFT
    # The first members of a segment that was not refreshed before the start are its members at the start.
    first = f"'{_DEFINITION}'" if campaign.include_current_members else f"'{_DEFINITION}', '{_INITIAL}'"
    not_bulk = "" if campaign.include_bulk_entries else f"AND c.cause NOT IN ({first})"
    was_visitors = f"""EXISTS (SELECT 1 FROM changed_visitors v JOIN {_CHANGES} o ON o.customer_id = v.id
        WHERE v.merged_into = p.id AND o.segment_id = c.segment_id AND o.refresh_id = c.refresh_id
            AND o.change = 'left' AND o.cause = 'merge')"""
    return f"""(c.change = '{kind.value}' {not_bulk}
        AND (c.cause <> 'merge' OR (p.merged_into IS NULL AND NOT {was_visitors})))"""


def _exits_sql(campaign: Campaign) -> str:
    """Return the condition for a change ``c`` of a customer ``p`` that stops a journey.

    Changes of a merged visitor do not: membership of the customer is checked when the next step is due.
    """
    if not campaign.exit_when_not_member:
        return "false"
    kind = Change.Kind.ENTERED if campaign.trigger == Campaign.Trigger.LEAVES else Change.Kind.LEFT
    return f"(c.change = '{kind.value}' AND p.merged_into IS NULL)"


def _start_for_current_members(campaign: Campaign, at: datetime) -> int:
    """Start once for customers who were members at the start and have no journey yet."""
    includes_members = campaign.include_current_members and campaign.trigger == Campaign.Trigger.ENTERS
    if not includes_members or campaign.scheduled_until or campaign.started_at is None:
        return 0
    start_sql = dialect.datetime_cast_sql(f"'{dialect.datetime_param(campaign.started_at)}'")
    _gather_members(campaign, f"m.entered_at <= {start_sql}")
    started = progress.start_journeys(
        campaign,
        Sql(f"""SELECT DISTINCT customer_id, 'start' AS occasion, {start_sql} AS at
            FROM present_members WHERE NOT EXISTS (
                SELECT 1 FROM {_JOURNEYS} e
                WHERE e.campaign_id = {campaign.pk} AND e.customer_id = present_members.customer_id)
            ORDER BY customer_id"""),
    )
    Campaign.objects.filter(pk=campaign.pk).update(scheduled_until=at)
    return started


def _start_for_due_date(campaign: Campaign, at: datetime) -> int:
    """Start for all members at the latest due date."""
    occasion = schedule.latest_due_date(campaign, at, not_before=sending_policy.expired_before(at))
    if occasion is None:
        return 0
    name = f"date:{occasion.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    date_sql = dialect.datetime_cast_sql(f"'{dialect.datetime_param(occasion)}'")
    _gather_members(campaign, "true")
    started = progress.start_journeys(
        campaign,
        Sql(
            f"""SELECT DISTINCT customer_id, '{name}' AS occasion, {date_sql} AS at
                FROM present_members ORDER BY customer_id"""
        ),
    )
    Campaign.objects.filter(pk=campaign.pk).update(scheduled_until=at)
    return started


def _gather_members(campaign: Campaign, condition: str) -> None:
    """Gather the present members ``m``, and instead of merged visitors their customers."""
    temporary_tables.create_temporary_table("present_members", "customer_id bigint")
    execution.execute(
        f"""INSERT INTO present_members SELECT COALESCE(p.merged_into_id, p.id)
            FROM {_MEMBERS} m JOIN customers_customer p ON p.id = m.customer_id
            WHERE m.segment_id = {campaign.segment_id} AND {condition}"""
    )
