"""Evaluate the ready-to-use segments with ClickHouse in this process (chdb), from its own tables of the same records.

The records are copied once, sorted by customer, in one part for each table: the best state such tables can be in. Each
evaluation reads all records up to the instant, as a system without facts does, and returns the sizes of the segments.
Before it is timed, its members are compared with the stored ones. Times are microseconds since 1970, which is how
DateTime64(6) is stored, and amounts are ten-thousandths.
"""

import importlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import hand_written
import harness
from django.db import connection

from core.values.decimals import SCALE
from segments.models import Membership

SHOWN_DIFFERENCES = 5

TABLES = {
    "customers": "customer_id Int64, is_known UInt8, is_subscribed UInt8, first_seen Int64, recorded_at Int64",
    "orders": "customer_id Int64, placed_at Int64, status LowCardinality(String), value Int64, is_discounted UInt8",
    "events": "customer_id Int64, occurred_at Int64, name LowCardinality(String), quantity Int64",
    "stored": "customer_id Int64, bits UInt16",
}
SORTED_BY = {"orders": "(customer_id, placed_at)", "events": "(customer_id, occurred_at)"}
"""The order of the tables' rows, if it is not by customer alone."""

# A step between, since both the averages and the rules need it.
CREATE_ORDER_TOTALS = """CREATE TABLE order_totals (customer_id Int64, order_count Int64, total_spent Int64,
    average_order_value Int64, orders_30 Int64, orders_365 Int64, discounted_365 Int64, first_order_at Int64,
    last_order_at Int64, any_order_at Int64, uncancelled_order_at Int64) ENGINE Memory"""

NEVER = 2**62
"""Later than every record: the first of none."""


def _microseconds(column: str) -> str:
    return f"CAST(extract(epoch FROM {column}) * 1000000 AS bigint)"


def _source_queries() -> dict[str, str]:
    """Return the queries of PostgreSQL that fill each table."""
    bits = " ".join(f"WHEN '{slug}' THEN {1 << place}" for place, slug in enumerate(hand_written.RULES))
    return {
        "customers": f"""SELECT c.id, CAST({hand_written.KNOWN} AS int), CAST(c.newsletter = 'subscribed' AS int),
            COALESCE({_microseconds("c.first_seen")}, {NEVER}), {_microseconds("c.recorded_at")}
            FROM customers_customer c WHERE c.merged_into_id IS NULL""",
        "orders": f"""SELECT customer_id, {_microseconds("placed_at")}, status, total - refunded_total,
            CAST(discount_total > 0 OR coupon_code <> '' AS int) FROM customers_order""",
        "events": f"""SELECT customer_id, {_microseconds("occurred_at")}, name,
            COALESCE(product_quantity, {SCALE}) FROM customers_event""",
        "stored": f"""SELECT m.customer_id, sum(CASE s.slug {bits} END)
            FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id GROUP BY m.customer_id""",
    }


# -- The same rules from records

INSERT_ORDER_TOTALS = """INSERT INTO order_totals
    SELECT customer_id, toInt64(countIf(counts)) AS order_count, sumIf(value, counts) AS total_spent,
        intDiv(2 * total_spent + if(total_spent < 0, -1, 1) * order_count, greatest(2 * order_count, 1)),
        countIf(counts AND placed_at > {d30}), countIf(counts AND placed_at > {d365}),
        countIf(counts AND placed_at > {d365} AND is_discounted), min(placed_at), maxIf(placed_at, counts),
        max(placed_at), maxIf(placed_at, status <> 'cancelled')
    FROM (SELECT *, status IN ('paid', 'fulfilled') AS counts FROM orders WHERE placed_at <= {at})
    GROUP BY customer_id SETTINGS optimize_aggregation_in_order = {in_order}"""

RULES = {
    "lead": "is_known AND order_count = 0",
    "newsletter-subscribers": "is_subscribed",
    "first-order": "order_count = 1",
    "repeat": "orders_30 >= 2",
    "hero": "orders_365 >= 4 AND average_order_value > average_value AND last_activity_at > {d30}",
    "occasional": "orders_365 BETWEEN 1 AND 3 AND 2 * discounted_365 >= orders_365",
    "waiting": "last_added_at > {d7} AND last_added_at > uncancelled_order_at AND cart_quantity > 0",
    "lost": "last_activity_at <= {d90}",
    "anonymous": "NOT is_known",
    "new-non-buyers": "is_known AND first_seen_at > {d30} AND order_count = 0",
    "first-time-buyers": "order_count = 1 AND last_order_at > {d30}",
    "two-time-buyers": "order_count = 2 AND last_order_at > {d7}",
    "one-time-lapsed": "order_count = 1 AND last_order_at <= {d30}",
    "repeat-lapsed": "order_count >= 2 AND last_order_at <= {d60}",
    "brand-lovers": "order_count >= 1 AND total_spent > average_spent",
    # A session is a new one after a pause, so every customer with an event has one.
    "browsers": "event_count >= 1 AND order_count = 0",
}

MASKS = """WITH
        (SELECT intDiv(2 * sum(total_spent) + count(), 2 * count())
            FROM order_totals WHERE order_count > 0) AS average_spent,
        (SELECT intDiv(2 * sum(average_order_value) + count(), 2 * count())
            FROM order_totals WHERE order_count > 0) AS average_value
    SELECT customer_id, toUInt16({mask}) AS bits FROM (
        SELECT c.customer_id AS customer_id, is_known, is_subscribed, b.order_count AS order_count,
            b.total_spent AS total_spent, b.average_order_value AS average_order_value, b.orders_30 AS orders_30,
            b.orders_365 AS orders_365, b.discounted_365 AS discounted_365, b.last_order_at AS last_order_at,
            b.uncancelled_order_at AS uncancelled_order_at, e.event_count AS event_count,
            e.last_added_at AS last_added_at, k.cart_quantity AS cart_quantity,
            least(c.first_seen, if(b.any_order_at = 0, {never}, b.first_order_at),
                if(e.event_count = 0, {never}, e.first_event_at)) AS earliest,
            if(earliest = {never}, c.recorded_at, earliest) AS first_seen_at,
            greatest(first_seen_at, b.any_order_at, e.last_event_at) AS last_activity_at
        FROM customers AS c
        LEFT JOIN order_totals AS b ON b.customer_id = c.customer_id
        LEFT JOIN (
            SELECT customer_id, count() AS event_count, min(occurred_at) AS first_event_at,
                max(occurred_at) AS last_event_at, maxIf(occurred_at, name = 'Product Added') AS last_added_at
            FROM events WHERE occurred_at <= {at} GROUP BY customer_id
        ) AS e ON e.customer_id = c.customer_id
        LEFT JOIN (
            SELECT i.customer_id AS customer_id, sum(if(i.name = 'Product Added', 1, -1) * i.quantity) AS cart_quantity
            FROM events AS i LEFT JOIN order_totals AS o ON o.customer_id = i.customer_id
            WHERE i.name IN ('Product Added', 'Product Removed')
                AND i.occurred_at > o.uncancelled_order_at AND i.occurred_at <= {at}
                AND i.customer_id IN (
                    SELECT customer_id FROM events WHERE name = 'Product Added' AND occurred_at > {d7})
            GROUP BY i.customer_id
        ) AS k ON k.customer_id = c.customer_id
    ) WHERE first_seen_at <= {at}"""

SETTINGS = "SETTINGS optimize_aggregation_in_order = {in_order}, join_algorithm = '{join}'"

VARIANTS = {
    "hash": {"in_order": "0", "join": "parallel_hash,hash"},
    "hash, aggregated in order": {"in_order": "1", "join": "parallel_hash,hash"},
    "merge, aggregated in order": {"in_order": "1", "join": "full_sorting_merge"},
}


class Records:
    """The copied records, in a session of ClickHouse."""

    def __init__(self, session: Any, at: datetime) -> None:
        self.session = session
        self.values = {name: str(_units(moment)) for name, moment in hand_written.named_instants(at).items()}
        self.values |= {"never": str(NEVER)}
        mask = " + ".join(f"({rule}) * {1 << place}" for place, rule in enumerate(RULES.values()))
        self.values["mask"] = mask.format(**self.values)

    def sizes(self, variant: str) -> list[int]:
        """Evaluate all segments. Return the number of members of each."""
        counted = ", ".join(f"countIf(bitTest(bits, {place}))" for place in range(len(RULES)))
        rows = self._evaluate(variant, f"SELECT {counted} FROM ({MASKS})")
        return [int(cell) for cell in rows[0].split(",")]

    def differing(self) -> list[str]:
        """Return the first customers whose members differ, each with both bit masks: here, and stored."""
        joined = f"""SELECT customer_id, n.bits, s.bits FROM (SELECT * FROM ({MASKS}) WHERE bits > 0) AS n
            FULL JOIN stored AS s USING customer_id WHERE n.bits <> s.bits LIMIT {SHOWN_DIFFERENCES}"""
        return self._evaluate("hash", joined)

    def _evaluate(self, variant: str, query: str) -> list[str]:
        values = self.values | VARIANTS[variant]
        self.session.query("TRUNCATE TABLE order_totals")
        self.session.query(INSERT_ORDER_TOTALS.format(**values))
        response = self.session.query(f"{query} {SETTINGS}".format(**values), "CSV")
        text: str = response.bytes().decode()
        return text.splitlines()


def _units(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, moment.tzinfo)) // timedelta(microseconds=1)


def is_installed() -> bool:
    """Return whether chdb is there: `pip install --group benchmarks`."""
    return find_spec("chdb") is not None


@contextmanager
def copied_records(at: datetime) -> Iterator[Records]:
    """Copy the records and the stored members. Yield them, to be evaluated as of an instant."""
    chdb_session = importlib.import_module("chdb.session")
    with tempfile.TemporaryDirectory(prefix="segments-columnar-") as name:
        session = chdb_session.Session(f"{name}/data")
        try:
            for statement in ("CREATE DATABASE shop", "USE shop", CREATE_ORDER_TOTALS):
                session.query(statement)
            for table, query in _source_queries().items():
                _copy_rows(session, table, query, Path(name) / f"{table}.csv")
            yield Records(session, at)
        finally:
            session.close()


def _copy_rows(session: Any, table: str, query: str, file: Path) -> None:
    columns = TABLES[table]
    session.query(
        f"CREATE TABLE {table} ({columns}) ENGINE MergeTree ORDER BY {SORTED_BY.get(table, 'customer_id')}"
    )
    copying = f"COPY ({query}) TO STDOUT (FORMAT csv)"
    with connection.cursor() as cursor, file.open("wb") as rows, cursor.copy(copying) as blocks:
        for block in blocks:
            rows.write(block)
    session.query(f"INSERT INTO {table} SELECT * FROM file('{file}', 'CSV', '{columns}')")
    session.query(f"OPTIMIZE TABLE {table} FINAL")
    file.unlink()


def compare(at: datetime, times: int) -> dict[str, Any]:
    """Time the evaluation of the sixteen segments. The members must be the stored ones, which are as of ``at``."""
    hand_written.require_known_segments()
    with copied_records(at) as records:
        if differing := records.differing():
            raise SystemExit(f"ClickHouse finds other members than are stored: {differing}")
        stored = Membership.objects.count()
        taken: dict[str, float] = {}
        for variant in VARIANTS:
            seconds = []
            for _ in range(times):
                started = time.perf_counter()
                found = sum(records.sizes(variant))
                seconds.append(time.perf_counter() - started)
                if found != stored:
                    raise SystemExit(f"ClickHouse counts {found} members, of {stored}")
            taken[variant] = round(median(seconds), 5)
            harness.log(f"  columnar, {variant:<28} {taken[variant]:8.4f} s")
    fastest = min(taken, key=lambda name: taken[name])
    return {"columnar_s": taken[fastest], "columnar": fastest, "variants": taken, "memberships": stored}
