"""The shop of the demo: generated rows that take the way of every import."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db import transaction

from customers import engine, facts, ingestion
from customers.models import Identity, Source
from customers.records import CUSTOMERS, EVENTS, ORDER_LINES, ORDERS, Kind, Refused, Shop, the_shop
from customers.sample_shop import Row, SampleShop
from customers.tracking import sources

ROWS_AT_ONCE = 10_000
TABLES = (
    "customers_customer",
    "customers_identity",
    "customers_order",
    "customers_orderline",
    "customers_event",
)

LIVED = timedelta(days=30)
"""How long before the end of its history the shop's facts stand at first, for its segments to live through."""

VISITORS = "Demo visitors"
"""The source that the messages of those come from who visit the shop while it is served."""

Tell = Callable[[str, int], None]
"""Takes what is being counted, and how many there are by now."""


def is_there() -> bool:
    """Tell whether the database holds a demo's shop, of whatever size and age.

    A browser is known by an id that only the generator draws; those of the first people are in every shop.
    """
    shop = SampleShop(1, until=datetime(2026, 1, 1, tzinfo=UTC))  # the ids do not depend on the end
    browsers = {row["anonymous_id"] for row in shop.event_rows(range(20))} - {""}
    return Identity.objects.filter(kind=Identity.Kind.ANONYMOUS_ID, value__in=browsers).exists()


def size() -> int:
    """Give the number of people up to the last one with a customer id; who came later has a longer id."""
    numbered = Identity.objects.filter(kind=Identity.Kind.CUSTOMER_ID, value__regex=r"^c[0-9]{6}$")
    last = numbered.order_by("-value").values_list("value", flat=True).first()
    return int(last[1:]) if last else 0


def renewed_write_key() -> str:
    """Give the source of the visitors a new key, as the old one cannot be read; make the source at first."""
    source = Source.objects.filter(name=VISITORS, kind=Source.Kind.SERVER, revoked_at=None).first()
    return sources.renew(source) if source else sources.create(Source(name=VISITORS, kind="server"))[1]


def build(customers: int, until: datetime, tell: Tell = lambda what, count: None) -> None:
    """Make a shop of so many people whose history ends at an instant; all of it or nothing."""
    with transaction.atomic():
        fill(customers, until, tell)


def fill(customers: int, until: datetime, tell: Tell = lambda what, count: None) -> None:
    """Make the shop, ten thousand rows a transaction."""
    shop = the_shop()
    sample = SampleShop(customers, until, currency=shop.currency)
    ingestion.start_file()
    for kind, rows in (
        (CUSTOMERS, sample.customer_rows()),
        (ORDERS, sample.order_rows()),
        (ORDER_LINES, sample.line_rows()),
        (EVENTS, sample.event_rows()),
    ):
        _ingest(kind, rows, shop, tell)
        for table in TABLES:
            engine.analyze(table)
    facts.settle(until - LIVED, progress=lambda settled: tell("customers summed up", settled))


def _ingest(kind: Kind, rows: Iterable[Row], shop: Shop, tell: Tell) -> None:
    numbered = enumerate(rows, start=1)
    taken = 0
    while batch := [(number, kind.read(row, shop)) for number, row in islice(numbered, ROWS_AT_ONCE)]:
        outcome = ingestion.ingest(kind, batch, announce=False)
        if outcome.refused:
            raise Refused(f"{kind.name}, row {outcome.refused[0].line}: {outcome.refused[0].reason}")
        taken += len(batch)
        tell(kind.name.replace("_", " "), taken)
