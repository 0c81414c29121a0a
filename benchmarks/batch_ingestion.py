"""The ingestion of batches of events, facts included, against bare inserts of the same rows."""

from typing import Any

import shop_in_sql
from django.db import transaction
from django.db.models import Max
from moving_shop import MINUTE, Clock, Figures, ratio_of_medians, refresh_members, summarise, time_call

from core.db import execution, temporary_tables
from customers.facts import update
from customers.ingestion import writer
from customers.models import Customer, Event, Identity
from customers.rows.kinds import EVENTS
from customers.rows.parsing import Record

BATCHES, BATCH_SIZE = 15, 1_000


def measure_ingestion() -> Figures:
    """Compare the ingestion of batches of events, facts included, with bare inserts of the same rows."""
    clock = Clock()
    seconds: dict[str, list[float]] = {"ingest": [], "insert": []}
    for number in range(BATCHES + 1):
        for name, act in (("ingest", _time_ingested_batch), ("insert", _time_inserted_batch)):
            since, until = clock.move(MINUTE)
            batch = shop_in_sql.news(since, until, events=BATCH_SIZE, orders=0, seed=number)[EVENTS]
            taken = act(batch, clock)
            if number:  # warms up the caches
                seconds[name].append(taken)
    figures = ratio_of_medians("ingest_vs_insert", seconds["ingest"], seconds["insert"])
    return figures | {"raw": {f"{name}_s": summarise(values) for name, values in seconds.items()}}


def _time_ingested_batch(batch: shop_in_sql.Numbered, clock: Clock) -> float:
    def act() -> None:
        outcome = writer.ingest(EVENTS, batch)
        if outcome.created != BATCH_SIZE:
            raise SystemExit(f"of {BATCH_SIZE} events {outcome.created} were created")
        update.update_facts(clock.at)

    taken = time_call(act)
    refresh_members(clock.at)  # as a worker does meanwhile
    return taken


def _time_inserted_batch(batch: shop_in_sql.Numbered, clock: Clock) -> float:
    """Insert the rows and delete them again, because the facts do not contain them."""
    before = Event.objects.aggregate(latest=Max("pk"))["latest"]
    rows = _bare_rows([record for _, record in batch])
    taken = time_call(lambda: _insert_rows(rows))
    since = min(row[list(BARE_COLUMNS).index("occurred_at")] for row in rows)
    execution.execute("DELETE FROM customers_event WHERE occurred_at >= %s AND id > %s", [since, before])
    return taken


BARE_COLUMNS = {
    name: "text" for name in EVENTS.columns if name not in ("customer_id", "anonymous_id", "products")
}
BARE_COLUMNS |= {"customer_id": "bigint", "occurred_at": "timestamptz"}
BARE_COLUMNS |= dict.fromkeys(("product_value", "product_quantity"), "bigint")
JSON_COLUMNS = ("properties", "properties_comparable")


def _bare_rows(records: list[Record]) -> list[tuple[Any, ...]]:
    """Return the rows with the key of their customer. Rows of a new visitor use some existing key."""
    named = [dict(zip(EVENTS.columns, record, strict=True)) for record in records]
    ids = {event["customer_id"] or event["anonymous_id"] for event in named}
    keys = dict(Identity.objects.filter(value__in=ids).values_list("value", "customer_id"))
    others = list(Customer.objects.order_by("-pk").values_list("pk", flat=True)[: len(named)])
    for event, other in zip(named, others, strict=True):
        event["customer_id"] = keys.get(event["customer_id"] or event["anonymous_id"], other)
    return [tuple(event[name] for name in BARE_COLUMNS) for event in named]


def _insert_rows(rows: list[tuple[Any, ...]]) -> None:
    values = [f"CAST({name} AS jsonb)" if name in JSON_COLUMNS else name for name in BARE_COLUMNS]
    with transaction.atomic():
        temporary_tables.create_temporary_table(
            "bare_events", ", ".join(f"{name} {kind}" for name, kind in BARE_COLUMNS.items())
        )
        temporary_tables.load_rows("bare_events", tuple(BARE_COLUMNS), rows)
        execution.execute(
            f"INSERT INTO customers_event ({', '.join(BARE_COLUMNS)}) SELECT {', '.join(values)} FROM bare_events"
        )
