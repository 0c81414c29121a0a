"""The values that random rules and shops share, so that thresholds and histories meet at their borders."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from .oracle_shop import Line

BASE = datetime(2026, 3, 15, 12, tzinfo=UTC)
RECORDED_AT = BASE + timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)

# The zones whose days begin and end at instants the histories know.
ZONES = (ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"))

INSTANTS = (
    BASE,
    BASE - timedelta(days=30),
    RECORDED_AT,
    BASE + timedelta(days=30),
    # In Berlin already March, and the last hours before a clock change and a leap day.
    datetime(2026, 2, 28, 23, 30, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
    datetime(2028, 2, 28, 12, tzinfo=UTC),
)
SPANS = ("90m", "12h", "1d", "7d", "30d", "4w", "365d")
DELTAS = (
    *(timedelta(0), timedelta(minutes=90), timedelta(hours=12), timedelta(days=1), timedelta(days=7)),
    *(timedelta(days=30), timedelta(weeks=4), timedelta(days=365)),
)
DATES = (
    *(date(2025, 10, 26), date(2026, 2, 13), date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 14)),
    *(date(2026, 3, 15), date(2026, 3, 16), date(2026, 3, 29), date(2026, 4, 1)),
)


def borders(at: datetime) -> tuple[datetime, ...]:
    """Where spans begin and end that are counted back from an instant, and the microseconds around."""
    return tuple(
        at - delta + nudge for delta in DELTAS for nudge in (timedelta(0), -MICROSECOND, MICROSECOND)
    )


NEAR = borders(BASE)
MIDNIGHTS = tuple(
    datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) - nudge
    for day in DATES
    for zone in ZONES
    for nudge in (timedelta(0), MICROSECOND)
)
FAR = tuple(time for at in INSTANTS[1:] for time in borders(at))

# Mostly where the spans that end at BASE begin.
MOMENTS = NEAR * 5 + MIDNIGHTS * 2 + FAR
MOMENTS_OR_NONE = MOMENTS[: len(NEAR) * 2] + MIDNIGHTS + (None,) * len(NEAR)

# A session ends with a gap of more than 30 minutes.
STEPS = (*(timedelta(minutes=n) for n in (0, 30, 60)), timedelta(minutes=30) + MICROSECOND)

BIRTHS = (
    *(date(1992, 2, 29), date(2000, 2, 29), date(1985, 2, 28), date(1990, 3, 1), date(1985, 3, 14)),
    *(date(1985, 3, 15), date(1999, 3, 16), date(1970, 3, 22), date(1970, 3, 23), date(1980, 4, 14)),
    *(date(1980, 4, 15), date(1960, 12, 31)),
)

COUNTS = (0, 1, 2, 3, 5, 1.5)
AMOUNTS = (0, 10, 20, 19.99, 0.1, 0.2, 0.3, 30, 33.3333, 33.3334, 0.0001, -0.0001, -20, 39.98, 100)
TOTALS = tuple(
    map(Decimal, ("10", "20", "19.99", "0.1", "0.2", "33.3333", "0.0001", "-0.0001", "-20", "0", "100"))
)
REDUCTIONS = tuple(map(Decimal, ("0", "0", "0", "5", "19.99")))
GAPS = (0, 0.0625, 0.4375, 1, 2, 6, 7, 23, 29, 30, 337, 365)
SHARES = (0, 0.25, 0.3333, 0.5, 0.6667, 1)

STATUSES = ("paid", "paid", "paid", "fulfilled", "pending", "cancelled", "refunded")
EVENT_NAMES = (
    *("Product Viewed", "Product Added", "Product Removed", "Session Started", "Order Completed"),
    *("product viewed", "Gutschein eingelöst ✓"),
)
CURRENCIES = ("EUR", "EUR", "USD")
CONSENTS = ("never", "subscribed", "unsubscribed")
COUPONS = ("SPRING", "spring", "straße", "10%_off")
COUPONS_OR_NONE = (None, None, None, *COUPONS)

COUNTRIES = ("DE", "de", "FR", "Türkiye")
LANGUAGES = ("de", "EN", "pt-BR")
CITIES = ("straße", "STRASSE", "ΣΊΣΥΦΟΣ", "σίσυφος", "İstanbul", "istanbul", "Ünï", "New York", "a_b%")
SOURCES = ("Newsletter", "google", "Ünï", "A\\B")

SKUS = ("A-1", "a-1", "B-2", "123", "007", "12.5")
NAMES = ("Straße", "STRASSE", "100% wool", "a_b", "İstanbul")
CATEGORIES = ("Shoes", "SHOES", "Σίσυφος")
BRANDS = ("Acme", "ACME", "Ünï")

SLUGS = ("vips", "beta")

ATTRIBUTE_NAMES = ("tier", "tier", "tier", "points", "points", "Tier", "Größe")
FREE_TEXTS = ("gold", "straße", "ΣΊΣΥΦΟΣ", "42", "01234", "2026-03-15", "50%_\\")
FREE_NUMBERS = (0, 42, -3.5, 0.1, 0.3, 1234, 9007199254740992, 9007199254740993)
ATTRIBUTE_CELLS = (
    *("gold", "GOLD", "STRASSE", "σίσυφος", "50%_\\", "true"),
    *("42", "42.0", "-3.5", "0", "0.1", "0.30000000000000004", "9007199254740993", "01234"),
    *(
        "2026-03-15",
        "2026-02-13",
        "2026-03-16",
        "2026-02-30",
        "2026-02-13T12:00:00Z",
        "2026-03-15T12:00:00.000001Z",
    ),
    *("2026-03-15T00:00:00+01:00", "2026-03-14T23:59:59.999999"),
    *('["gold", "Strasse"]', '["vip"]', '["VIP", "σίσυφος", "50%_\\\\"]', '["42", "go"]', "[1] gold"),
)
LIST_TEXTS = ("gold", "Gold", "STRASSE", "vip", "42", "go", "50%_\\", "nowhere")

LINES = (
    Line("A-1", "Straße", "Shoes", "Acme", Decimal(1), Decimal("19.99")),
    Line("a-1", "strasse", "shoes", None, Decimal(2), Decimal("10")),
    Line("B-2", "100% wool", None, "ünï", Decimal(-1), Decimal("33.3333")),
    Line("123", None, "ΣΊΣΥΦΟΣ", "ACME", Decimal(1), Decimal("0")),
    Line("007", "a_b", None, None, Decimal(3), Decimal("0.1")),
    Line("12.5", "1000 wool", "Shoes", "Acme", Decimal("-2"), Decimal("-5")),
)
LINES_WITHOUT_SKU = (
    Line(None, "İstanbul", "Shoes", "Acme", Decimal(1), Decimal("20")),
    Line(None, None, None, None, Decimal(1), Decimal("0")),
)

PROPERTY_NAMES = ("plan", "Plan", "Größe", "price", "sku", "nowhere")
PRODUCT_PROPERTIES: tuple[dict[str, Any], ...] = (
    {},
    {"sku": "A-1", "name": "Straße", "category": "Shoes", "brand": "Acme", "price": 10, "quantity": 2},
    {"product_id": "a-1", "name": "STRASSE", "brand": None, "price": "19.99"},
    {"sku": None, "product_id": "B-2", "price": 19.99, "quantity": 1},
    {"sku": True, "product_id": 123, "category": ["Shoes"], "price": True, "quantity": None},
    {"sku": 123, "product_id": "A-1", "name": 42, "price": 0.1, "quantity": 3},
    {"sku": 12.5, "brand": "ÜNÏ", "category": "ΣΊΣΥΦΟΣ", "price": -20, "quantity": "1"},
    {"products": [{"product_id": "A-1", "brand": "acme"}, {"sku": "B-2", "category": "shoes"}]},
    {"products": ["A-1", None, 7, {"sku": 123, "name": "a_b"}], "price": 33.3333},
    {"products": {"sku": "A-1"}, "price": "20", "quantity": 0.5},
    {"products": [], "price": "abc", "quantity": "abc"},
    {"name": "100% wool", "price": 0.00005, "quantity": 1},
    {"name": "1000 wool", "price": -0.00005},
    {"sku": "007", "price": "1e3", "quantity": -1},
    {"price": None, "quantity": 2},
    {"price": "10", "quantity": {"value": 2}},
)
FREE_PROPERTIES: tuple[dict[str, Any], ...] = (
    *({}, {"plan": "gold"}, {"plan": "GOLD"}, {"Plan": "gold"}, {"plan": ""}, {"plan": None}),
    *({"plan": 42}, {"plan": 42.0}, {"plan": "42"}, {"plan": 0.1}, {"plan": 0.1 + 0.2}, {"plan": -3.5}),
    *({"plan": True}, {"plan": False}, {"plan": ["gold"]}, {"plan": {"name": "gold"}}, {"plan": 0}),
    *(
        {"plan": 9007199254740993},
        {"plan": "2026-03-15"},
        {"plan": "50%_\\"},
        {"Größe": "STRASSE"},
        {"Größe": 42},
    ),
)
