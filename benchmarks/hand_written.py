"""Refresh the ready-to-use segments with hand-written SQL, to compare with the product's refresh.

Both start from the same stored members, of which one in a thousand is wrong: half of these are missing, half are
surplus. Both read the same facts, and write the same members and changes in one transaction. It needs PostgreSQL.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import harness
from django.db import connection, transaction

from core.db import execution
from segments.models import Membership, Segment

WRONG_SHARE = 0.001

NamedInstants = dict[str, datetime]
"""The instants that the rules use, by name: the instant of the refresh, and days before it."""

KNOWN = "(c.email <> '' OR c.phone <> '')"
RULES = {
    "lead": f"{KNOWN} AND f.order_count = 0",
    "newsletter-subscribers": "c.newsletter = 'subscribed'",
    "first-order": "f.order_count = 1",
    "repeat": "f.order_2_at > %(d30)s",
    "hero": "f.order_4_at > %(d365)s AND f.average_order_value > p.average_order_value"
    " AND f.last_activity_at > %(d30)s",
    # Orders are read only for customers who ordered before and within the year and used a discount.
    "occasional": """f.last_order_at > %(d365)s AND (f.order_4_at > %(d365)s) IS NOT TRUE
        AND f.discounted_count > 0 AND CASE WHEN f.first_order_at > %(d365)s
            THEN f.discounted_order_share >= 5000
            ELSE (SELECT 2 * count(*) FILTER (WHERE o.discount_total > 0 OR o.coupon_code <> '') >= count(*)
                  FROM customers_order o WHERE o.customer_id = f.customer_id AND o.placed_at > %(d365)s
                  AND o.placed_at <= %(at)s AND o.status IN ('paid', 'fulfilled')) END""",
    "waiting": "f.last_added_at > %(d7)s AND (f.last_added_at <= f.uncancelled_order_at) IS NOT TRUE"
    " AND f.cart_quantity > 0",
    "lost": "f.last_activity_at <= %(d90)s",
    "anonymous": f"NOT {KNOWN}",
    "new-non-buyers": f"{KNOWN} AND f.first_seen_at > %(d30)s AND f.order_count = 0",
    "first-time-buyers": "f.order_count = 1 AND f.last_order_at > %(d30)s",
    "two-time-buyers": "f.order_count = 2 AND f.last_order_at > %(d7)s",
    "one-time-lapsed": "f.order_count = 1 AND f.last_order_at <= %(d30)s",
    "repeat-lapsed": "f.order_count >= 2 AND f.last_order_at <= %(d60)s",
    "brand-lovers": "f.order_count >= 1 AND f.total_spent > p.total_spent",
    "browsers": "f.session_count >= 1 AND f.order_count = 0",
}


def named_instants(at: datetime) -> NamedInstants:
    return {"at": at} | {f"d{days}": at - timedelta(days=days) for days in (7, 30, 60, 90, 365)}


# -- The hand-written SQL


def segments_sql() -> str:
    """Return a query of the segments' keys, slugs and bits."""
    bits = ", ".join(f"('{slug}', {1 << place})" for place, slug in enumerate(RULES))
    return f"""SELECT s.id AS segment_id, b.slug, b.bit
        FROM (VALUES {bits}) AS b (slug, bit) JOIN segments_segment s ON s.slug = b.slug"""


def scan_sql(answers: str = "") -> str:
    """Return a query of the customers, their facts, and the two averages that the totals determine."""
    return f"""SELECT f.customer_id{answers} FROM customers_facts f JOIN customers_customer c ON c.id = f.customer_id
        CROSS JOIN (
            SELECT round(sum(total_spent) / NULLIF(sum(buyers), 0))::bigint AS total_spent,
                round(sum(average_order_value) / NULLIF(sum(buyers), 0))::bigint AS average_order_value
            FROM customers_partialtotals) AS p
        WHERE f.first_seen_at <= %(at)s"""


def mask_sql() -> str:
    """Return an expression: the bit mask of the segments whose rule a customer meets."""
    return " | ".join(
        f"CASE WHEN {rule} THEN {1 << place} ELSE 0 END" for place, rule in enumerate(RULES.values())
    )


def nested_mask_sql() -> str:
    """Return the same mask with nested conditions, so that only those that can be true are evaluated."""
    bit = {slug: 1 << place for place, slug in enumerate(RULES)}

    def mask(*slugs: str) -> str:
        return " | ".join(f"CASE WHEN {RULES[slug]} THEN {bit[slug]} ELSE 0 END" for slug in slugs)

    return f"""{mask("newsletter-subscribers", "waiting", "lost")} | CASE WHEN f.order_count = 0
        THEN {mask("browsers")} | CASE WHEN NOT {KNOWN} THEN {bit["anonymous"]}
            ELSE {bit["lead"]} | CASE WHEN f.first_seen_at > %(d30)s THEN {bit["new-non-buyers"]} ELSE 0 END END
        ELSE {mask("anonymous", "occasional", "brand-lovers")} | CASE WHEN f.order_count = 1
            THEN {bit["first-order"]} | CASE WHEN f.last_order_at > %(d30)s
                THEN {bit["first-time-buyers"]} ELSE {bit["one-time-lapsed"]} END
            ELSE {mask("repeat", "hero", "two-time-buyers", "repeat-lapsed")} END END"""


def compared_masks_sql(holding: str) -> str:
    """Return a query of the customers whose mask differs from the mask of their stored members."""
    return f"""SELECT COALESCE(n.customer_id, k.customer_id) AS customer_id,
            COALESCE(n.bits, 0) AS bits, COALESCE(k.bits, 0) AS stored
        FROM ({scan_sql(f", {holding} AS bits")}) AS n
        FULL JOIN (SELECT m.customer_id, bit_or(a.bit) AS bits
            FROM segments_membership m JOIN asked a USING (segment_id) GROUP BY m.customer_id) AS k
            ON k.customer_id = n.customer_id
        WHERE COALESCE(n.bits, 0) <> COALESCE(k.bits, 0)"""


def differing_masks_sql(holding: Callable[[], str]) -> str:
    """Return a query of the entries and exits, found by masks."""
    return f"""SELECT d.customer_id, a.segment_id, d.bits & a.bit <> 0 AS enters
        FROM ({compared_masks_sql(holding())}) AS d JOIN asked a ON d.bits & a.bit <> d.stored & a.bit"""


def differing_sets_sql() -> str:
    """Return a query of the entries and exits, found by sets of customer and segment pairs."""
    return f"""SELECT COALESCE(n.customer_id, m.customer_id) AS customer_id,
            COALESCE(n.segment_id, m.segment_id) AS segment_id, m.customer_id IS NULL AS enters
        FROM (SELECT h.customer_id, a.segment_id FROM ({scan_sql(f", {mask_sql()} AS bits")}) AS h
            JOIN asked a ON h.bits & a.bit <> 0) AS n
        FULL JOIN (SELECT customer_id, segment_id FROM segments_membership
            WHERE segment_id IN (SELECT segment_id FROM asked)) AS m
            ON m.customer_id = n.customer_id AND m.segment_id = n.segment_id
        JOIN asked a ON a.segment_id = COALESCE(n.segment_id, m.segment_id)
        WHERE n.customer_id IS NULL OR m.customer_id IS NULL"""


def differing_one_by_one_sql() -> str:
    """Return a query of the entries and exits, with one EXCEPT for each direction and segment."""
    parts = []
    for slug, rule in RULES.items():
        now = scan_sql() + f" AND ({rule})"
        segment = f"(SELECT segment_id FROM asked WHERE slug = '{slug}')"
        kept = f"SELECT customer_id FROM segments_membership WHERE segment_id = {segment}"
        parts += [
            f"SELECT customer_id, {segment} AS segment_id, true AS enters FROM ({now} EXCEPT {kept}) AS x",
            f"SELECT customer_id, {segment} AS segment_id, false AS enters FROM ({kept} EXCEPT {now}) AS x",
        ]
    return f"""SELECT u.customer_id, u.segment_id, u.enters FROM ({" UNION ALL ".join(parts)}) AS u
        JOIN asked a USING (segment_id)"""


INSERT_CHANGES = """INSERT INTO segments_change (segment_id, customer_id, public_id, change, at, cause, refresh_id)
    SELECT d.segment_id, d.customer_id, c.customer_id, CASE WHEN d.enters THEN 'entered' ELSE 'left' END, %(at)s,
        CASE WHEN c.merged_into_id IS NOT NULL OR EXISTS (
                SELECT 1 FROM customers_customer v
                JOIN differing j ON j.customer_id = v.id AND j.segment_id = d.segment_id AND NOT j.enters
                WHERE v.merged_into_id = c.id) THEN 'merge'
            WHEN EXISTS (SELECT 1 FROM customers_touched t WHERE t.customer_id = d.customer_id AND t.recorded)
                THEN 'activity' ELSE 'time' END, NULL
    FROM differing d JOIN customers_customer c ON c.id = d.customer_id
    ORDER BY d.segment_id, d.customer_id"""
INSERT_MEMBERS = f"""INSERT INTO segments_membership (customer_id, segment_id, entered_at, is_known)
    SELECT d.customer_id, d.segment_id, %(at)s, {KNOWN}
    FROM differing d JOIN customers_customer c ON c.id = d.customer_id WHERE d.enters"""
DELETE_MEMBERS = """DELETE FROM segments_membership m USING differing d
    WHERE NOT d.enters AND m.customer_id = d.customer_id AND m.segment_id = d.segment_id"""


def refresh_in_one_statement(differing: Callable[[], str], at: datetime) -> None:
    """Find and write the differences in one statement."""
    execute(
        f"""WITH asked AS MATERIALIZED ({segments_sql()}), differing AS MATERIALIZED ({differing()}),
            changed AS ({INSERT_CHANGES}), left_behind AS ({DELETE_MEMBERS}) {INSERT_MEMBERS}""",
        at,
    )


def refresh_in_steps(differing: Callable[[], str], at: datetime) -> None:
    """Find the differences into a temporary table, which unlike INSERT can run in parallel, and write them from it."""
    execute(
        f"""CREATE TEMPORARY TABLE differing ON COMMIT DROP AS
            WITH asked AS MATERIALIZED ({segments_sql()}) {differing()}""",
        at,
    )
    for statement in (INSERT_CHANGES, INSERT_MEMBERS, DELETE_MEMBERS):
        execute(statement, at)


def execute(sql: str, at: datetime) -> None:
    """Run a statement that uses the named instants."""
    with connection.cursor() as cursor:
        cursor.execute(sql, named_instants(at))


VARIANTS: dict[str, Callable[[datetime], None]] = {
    "masks, one statement": partial(refresh_in_one_statement, partial(differing_masks_sql, mask_sql)),
    "masks, in steps": partial(refresh_in_steps, partial(differing_masks_sql, mask_sql)),
    "nested, one statement": partial(refresh_in_one_statement, partial(differing_masks_sql, nested_mask_sql)),
    "nested, in steps": partial(refresh_in_steps, partial(differing_masks_sql, nested_mask_sql)),
    "sets, one statement": partial(refresh_in_one_statement, differing_sets_sql),
    "one by one, in steps": partial(refresh_in_steps, differing_one_by_one_sql),
}


def refresh_by_hand(write: Callable[[datetime], None], at: datetime) -> None:
    with transaction.atomic():
        execution.execute("SET LOCAL work_mem = '64MB'")
        write(at)


# -- The stored state that both start from


def plan_wrong_members(at: datetime) -> int:
    """Choose the members that will be missing or surplus, always the same ones. Return their number."""
    half = round(Membership.objects.count() * WRONG_SHARE / 2)
    execution.execute("DROP TABLE IF EXISTS benchmark_missing, benchmark_extra")
    execution.execute(
        """CREATE TABLE benchmark_missing AS SELECT m.* FROM segments_membership m
            JOIN customers_customer c ON c.id = m.customer_id JOIN segments_segment s ON s.id = m.segment_id
            ORDER BY md5(c.customer_id || s.slug) LIMIT %s""",
        [half],
    )
    execution.execute(
        f"""CREATE TABLE benchmark_extra AS
            SELECT f.customer_id, s.id AS segment_id, %s::timestamptz AS entered_at, {KNOWN} AS is_known
            FROM customers_facts f CROSS JOIN segments_segment s JOIN customers_customer c ON c.id = f.customer_id
            WHERE NOT EXISTS (SELECT 1 FROM segments_membership m
                WHERE m.customer_id = f.customer_id AND m.segment_id = s.id)
            ORDER BY md5(c.customer_id || s.slug) LIMIT %s""",
        [at, half],
    )
    return 2 * half


def restore_wrong_members() -> None:
    """Make the right members wrong as planned, and delete the changes."""
    with transaction.atomic():
        execution.execute("TRUNCATE segments_change")
        execution.execute(
            """DELETE FROM segments_membership m USING benchmark_missing w
                WHERE m.customer_id = w.customer_id AND m.segment_id = w.segment_id"""
        )
        execution.execute(
            """INSERT INTO segments_membership (customer_id, segment_id, entered_at, is_known)
                SELECT customer_id, segment_id, entered_at, is_known FROM benchmark_extra"""
        )
        _count_members()
    execution.execute("VACUUM ANALYZE segments_membership")
    execution.execute("VACUUM ANALYZE segments_change")


def _count_members() -> None:
    """Set the sizes of the segments to the number of their members, because a refresh only adds its changes."""
    execution.execute(
        """UPDATE segments_segment s SET size = m.size, known_size = m.known FROM (
                SELECT segment_id, count(*) AS size, count(*) FILTER (WHERE is_known) AS known
                FROM segments_membership GROUP BY segment_id) AS m
            WHERE s.id = m.segment_id"""
    )


def checksum() -> tuple[Any, ...]:
    """Return checksums of the members and the changes."""
    [members] = execution.fetch_all(
        "SELECT count(*), sum(hashtextextended(segment_id || '/' || customer_id, 0)) FROM segments_membership"
    )
    [changes] = execution.fetch_all(
        """SELECT count(*), sum(hashtextextended(concat_ws('/', segment_id, customer_id, public_id, change, at,
            cause), 0)) FROM segments_change"""
    )
    return (*members, *changes)


# -- The comparison


def require_known_segments() -> None:
    """Fail if there are other segments than those of this module."""
    if {segment.slug for segment in Segment.objects.active()} != RULES.keys():
        raise SystemExit("the ready-to-use segments are not those this benchmark knows by heart")


def compare(
    refresh: Callable[[], None], at: datetime, times: int, *, profile: bool = False
) -> dict[str, Any]:
    """Run a full refresh and the hand-written variants in turn. Return the figures.

    The members are right before and after.
    """
    require_known_segments()
    differing = plan_wrong_members(at)
    execution.execute("VACUUM ANALYZE")
    restore_wrong_members()
    refresh()
    right = checksum()

    def timed(act: Callable[[], None]) -> float:
        restore_wrong_members()
        started = time.perf_counter()
        act()
        taken = time.perf_counter() - started
        if checksum() != right:
            raise SystemExit(f"the two end in different members or changes: {checksum()} and {right}")
        return taken

    if profile:
        restore_wrong_members()
        with harness.print_slowest_statements():
            refresh()
    competitors = {"refresh": partial(timed, refresh)}
    competitors |= {
        name: partial(timed, partial(refresh_by_hand, write, at)) for name, write in VARIANTS.items()
    }
    for seconds in competitors.values():  # warms up the caches
        seconds()
    taken = harness.time_alternately(competitors, times)
    timed(refresh)  # restores what only the product maintains
    refresh_s = taken.pop("refresh")
    fastest = min(taken, key=lambda name: taken[name])
    harness.log(f"refresh {refresh_s} s, by hand {taken[fastest]} s ({fastest})")
    return {
        "refresh_s": refresh_s,
        "sql_s": taken[fastest],
        "ratio": round(refresh_s / taken[fastest], 2),
        "sql": fastest,
        "runs": times,
        "differing": differing,
    }
