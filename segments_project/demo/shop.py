"""Creates the demo shop: generated rows, written by ``ingest`` like every import."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from django.db import transaction

from core.db import temporary_tables
from customers.facts import update
from customers.ingestion import line_writer, writer
from customers.models import Identity, Source
from customers.rows.cells import InvalidRow
from customers.rows.kinds import CUSTOMERS, EVENTS, KINDS, ORDER_LINES, ORDERS, Kind
from customers.rows.settings import ShopSettings, shop_settings
from customers.tracking import sources
from segments import segment_store
from segments.lifecycle import editing
from segments.refresh.engine import refresh_all

from .history import Row, SampleShop

ROW_BATCH_SIZE = 10_000
TABLES = (
    "customers_customer",
    "customers_identity",
    "customers_order",
    "customers_orderline",
    "customers_event",
)

LIVE_PERIOD = timedelta(days=30)
"""The last part of the history, in which records arrive in order and segments are refreshed."""

REFRESH_INTERVAL = timedelta(hours=6)

VISITOR_SOURCE = "Demo visitors"
"""The source of the simulated visitors' messages."""

PEOPLE_BATCH_SIZE = 2_000

ReportProgress = Callable[[str, int], None]
"""Called with what is counted, and the count so far."""


def demo_shop_exists() -> bool:
    """Return whether the database contains a demo shop, of any size and age.

    The generator draws the ids of browsers. Those of the first people are in every demo shop.
    """
    shop = SampleShop(1, until=datetime(2026, 1, 1, tzinfo=UTC))  # the ids do not depend on the end
    browsers = {row["anonymous_id"] for row in shop.event_rows(range(20))} - {""}
    return Identity.objects.filter(kind=Identity.Kind.ANONYMOUS_ID, value__in=browsers).exists()


def people_count() -> int:
    """Return the number of people up to the last one with a customer id. Simulated visitors have longer ids."""
    numbered = Identity.objects.filter(kind=Identity.Kind.CUSTOMER_ID, value__regex=r"^c[0-9]{6}$")
    last = numbered.order_by("-value").values_list("value", flat=True).first()
    return int(last[1:]) if last else 0


def renew_write_key() -> str:
    """Create the visitors' source if necessary, and return a new key: the old one cannot be read."""
    source = Source.objects.filter(name=VISITOR_SOURCE, kind=Source.Kind.SERVER, revoked_at=None).first()
    return (
        sources.rotate_key(source)
        if source
        else sources.create_source(Source(name=VISITOR_SOURCE, kind="server"))[1]
    )


class Arrival(NamedTuple):
    """A row, and when it arrives, as text in the format of rows."""

    at: str
    kind: Kind
    row: Row


def build_demo_shop(
    customers: int, until: datetime, report: ReportProgress = lambda what, count: None
) -> None:
    """Create a shop whose history ends at ``until``, with its segments, in one transaction."""
    live_since = until - LIVE_PERIOD
    shop = shop_settings()
    sample = SampleShop(customers, until, currency=shop.currency)
    with transaction.atomic():
        later = _fill_until(sample, live_since, shop, report)
        update.update_facts(live_since, progress=lambda settled: report("customers with facts", settled))
        segment_store.install_templates()
        editing.set_up_lifecycle()
        refresh_all(live_since)
        _replay_arrivals(later, live_since, until, shop, report)


def fill_database(customers: int, until: datetime, report: ReportProgress = lambda what, count: None) -> None:
    """Create a shop without segments, in transactions of ten thousand rows."""
    shop = shop_settings()
    sample = SampleShop(customers, until, currency=shop.currency)
    line_writer.start_line_numbering()
    for kind, rows in (
        (CUSTOMERS, sample.customer_rows()),
        (ORDERS, sample.order_rows()),
        (ORDER_LINES, sample.line_rows()),
        (EVENTS, sample.event_rows()),
    ):
        _ingest(kind, rows, shop, partial(report, kind.name.replace("_", " ")))
        for table in TABLES:
            temporary_tables.analyze_table(table)
    update.update_facts(until, progress=lambda settled: report("customers with facts", settled))


def _fill_until(
    sample: SampleShop, live_since: datetime, shop: ShopSettings, report: ReportProgress
) -> list[Arrival]:
    """Ingest what arrives until ``live_since``. Return later arrivals, in order."""
    border = live_since.astimezone(UTC).isoformat(timespec="seconds")
    later: list[Arrival] = []
    ingested = 0
    line_writer.start_line_numbering()
    for start in range(0, sample.customers, PEOPLE_BATCH_SIZE):
        earlier: dict[str, list[Row]] = defaultdict(list)
        for index in range(start, min(start + PEOPLE_BATCH_SIZE, sample.customers)):
            for arrival in _arrivals(sample, index):
                if arrival.at <= border:
                    earlier[arrival.kind.name].append(arrival.row)
                else:
                    later.append(arrival)
        for kind in KINDS.values():
            _ingest(kind, earlier[kind.name], shop)
        ingested += sum(map(len, earlier.values()))
        report("records", ingested)
        for table in TABLES:
            temporary_tables.analyze_table(table)
    return sorted(
        later, key=itemgetter(0)
    )  # stable: arrivals of one instant stay in the order of their kinds


def _arrivals(sample: SampleShop, index: int) -> Iterator[Arrival]:
    """Yield the rows of one person, each with its time of arrival.

    A customer who came by browser arrives with the event that has both ids, or with the first order.
    """
    person = range(index, index + 1)
    events, orders = list(sample.event_rows(person)), list(sample.order_rows(person))
    known_at = [row["occurred_at"] for row in events if row["customer_id"]]
    known_at += [row["placed_at"] for row in orders]
    for row in sample.customer_rows(person):
        arrives_at = min(known_at, default=row["first_seen"])
        subscribed_at = row["subscribed_at"]
        if subscribed_at > arrives_at:
            yield Arrival(arrives_at, CUSTOMERS, row | {"newsletter": "", "subscribed_at": ""})
            yield Arrival(
                subscribed_at,
                CUSTOMERS,
                {name: row[name] for name in ("customer_id", "newsletter", "subscribed_at")},
            )
        else:
            yield Arrival(arrives_at, CUSTOMERS, row)
    placed = {row["order_id"]: row["placed_at"] for row in orders}
    yield from (Arrival(row["placed_at"], ORDERS, row) for row in orders)
    yield from (Arrival(placed[row["order_id"]], ORDER_LINES, row) for row in sample.line_rows(person))
    yield from (Arrival(row["occurred_at"], EVENTS, row) for row in events)


def _replay_arrivals(
    later: Sequence[Arrival],
    live_since: datetime,
    until: datetime,
    shop: ShopSettings,
    report: ReportProgress,
) -> None:
    """Ingest records in the order of their arrival, and refresh the segments every few hours."""
    arrivals = iter(later)
    arrival = next(arrivals, None)
    at = live_since
    while at < until:
        at = min(at + REFRESH_INTERVAL, until)
        border = at.astimezone(UTC).isoformat(timespec="seconds")
        arrived: dict[str, list[Row]] = defaultdict(list)
        while arrival and arrival.at <= border:
            arrived[arrival.kind.name].append(arrival.row)
            arrival = next(arrivals, None)
        for kind in KINDS.values():
            _ingest(kind, arrived[kind.name], shop, at=at)
        refresh_all(at)
        report("days replayed", (at - live_since).days)


def _ingest(
    kind: Kind,
    rows: Iterable[Row],
    shop: ShopSettings,
    report: Callable[[int], None] = lambda ingested: None,
    at: datetime | None = None,
) -> None:
    numbered = enumerate(rows, start=1)
    ingested = 0
    while batch := [(number, kind.read(row, shop)) for number, row in islice(numbered, ROW_BATCH_SIZE)]:
        outcome = writer.ingest(kind, batch, at, notify=False)
        if outcome.rejected:
            raise InvalidRow(f"{kind.name}, row {outcome.rejected[0].line}: {outcome.rejected[0].reason}")
        ingested += len(batch)
        report(ingested)
