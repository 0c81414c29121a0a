"""Products that the shop sells, and pairs that are bought together.

The only writer of ``SoldProduct`` and ``BoughtTogether``.

They are computed each night from the counting orders of a year. A pair of products has the lift

    lift(a, b) = orders with both × all orders ÷ (orders with a × orders with b)

1 means chance, a greater value means that they are bought together more often. Pairs below a minimum support are
left out. Source: S. Brin, R. Motwani, J. Ullman, S. Tsur, Dynamic Itemset Counting and Implication Rules for
Market Basket Data, SIGMOD 1997, who call it interest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.db import transaction
from django.db.models import Max
from django.db.models.expressions import RawSQL

from campaigns.links.link_hosts import shop_url
from campaigns.models import SoldProduct
from core.db import dialect, execution, temporary_tables, transactions
from core.db.sql import compose
from core.values import sortable_values
from customers.models import COUNTING_STATUSES, Event

ORDER_PERIOD: Final = timedelta(days=365)
LINK_PERIOD: Final = timedelta(days=7)
MIN_SUPPORT: Final = 3  # orders: the minimum support
MAX_BASKET_SIZE: Final = 50  # larger orders are from resellers
MAX_PAIRS_PER_PRODUCT: Final = 30  # the best pairs are stored

RANGE_SIZE: Final = 50_000  # keys of customers whose orders are read together

PRODUCT_EVENTS: Final = ("Product Viewed", "Product Added")

_COUNTING: Final = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
_TEMPORARY_TABLES: Final = (
    *("learned_baskets", "collected_products", "collected_pairs", "learned_pairs"),
    *("latest_lines", "product_lines", "sightings"),
)


@dataclass(frozen=True)
class Product:
    """A product for a message; unknown values are empty. ``key`` is the folded sku, or the folded name without one."""

    key: str
    sku: str = ""
    name: str = ""
    category: str = ""
    brand: str = ""
    price: Decimal | None = None
    url: str = ""
    image: str = ""
    quantity: Decimal | None = None


def product_from_event(properties: Mapping[str, Any]) -> Product:
    """Return the product in the properties of an event. Browsers send them, so they are untrusted.

    URLs that are not the shop's are dropped, because the product is shown to other customers.
    """
    sku = _text(properties, "sku") or _text(properties, "product_id")
    name = _text(properties, "name")
    return Product(
        key=sortable_values.fold_case(sku or name),
        sku=sku,
        name=name,
        category=_text(properties, "category"),
        brand=_text(properties, "brand"),
        price=parse_number(properties.get("price")),
        url=shop_url(properties.get("url")),
        image=shop_url(properties.get("image_url")),
    )


def product_from_orders(sold: SoldProduct) -> Product:
    return Product(
        sold.sku_folded, sold.sku, sold.name, sold.category, sold.brand, sold.price, sold.url, sold.image
    )


def parse_number(value: Any) -> Decimal | None:
    """Return a number from JSON or text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < 10**10 else None


def _text(properties: Mapping[str, Any], name: str) -> str:
    value = properties.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return value.strip()[:255] if isinstance(value, str) else ""


# -- Learning


def learn_products(at: datetime) -> None:
    """Rebuild products and pairs from the orders up to ``at``."""
    _collect(at)
    with transaction.atomic():
        transactions.lock_exclusive("campaigns_boughttogether")
        _write_products(at)
        _write_pairs()
        _write_first_seen()
    for table in _TEMPORARY_TABLES:
        temporary_tables.empty_table(table)
    _write_links(at)


def _collect(at: datetime) -> None:
    """Fill temporary tables with products, pairs and first orders, from the orders of one range of customers at a time.

    This runs outside a transaction, so that it blocks no other writer on SQLite.
    """
    moment = dialect.datetime_type_sql()
    for table, columns in (
        (
            "collected_products",
            f"sku text, orders bigint, customer_id bigint, line bigint, placed_at {moment}",
        ),
        ("collected_pairs", "sku text, other text, orders bigint"),
        ("sightings", f"sku text, at {moment}"),
    ):
        temporary_tables.create_temporary_table(table, columns)
    orders = 0
    [(first_key, last_key)] = execution.fetch_all("SELECT min(id), max(id) FROM customers_customer")
    for after in range(first_key - 1, last_key, RANGE_SIZE) if first_key else ():
        orders += _collect_baskets(at, after)
        _collect_first_orders(after)
    _rank_pairs(orders)


def _collect_baskets(at: datetime, after: int) -> int:
    """Add the baskets of the customers in the range after a key. Return how many there are."""
    temporary_tables.create_temporary_table(
        "learned_baskets",
        f"order_id bigint, customer_id bigint, sku text, line bigint, placed_at {dialect.datetime_type_sql()}",
    )
    # The latest order line of a product has its current name and price.
    execution.execute(
        f"""INSERT INTO learned_baskets
            SELECT o.id, o.customer_id, l.sku_folded, max(l.id), o.placed_at
            FROM customers_order o
            JOIN customers_orderline l ON l.customer_id = o.customer_id AND l.order_id = o.id
            WHERE o.customer_id > %s AND o.customer_id <= %s AND o.status IN ({_COUNTING})
                AND o.placed_at > %s AND o.placed_at <= %s AND l.quantity > 0 AND l.sku_folded <> ''
            GROUP BY o.id, o.customer_id, l.sku_folded, o.placed_at""",
        [after, after + RANGE_SIZE, dialect.datetime_param(at - ORDER_PERIOD), dialect.datetime_param(at)],
    )
    execution.execute(
        f"""DELETE FROM learned_baskets WHERE order_id IN (
                SELECT order_id FROM learned_baskets GROUP BY order_id HAVING count(*) > {MAX_BASKET_SIZE})"""
    )
    execution.execute("CREATE INDEX IF NOT EXISTS learned_by_order ON learned_baskets (order_id, sku)")
    execution.execute(
        """INSERT INTO collected_products SELECT sku, orders, customer_id, line, placed_at FROM (
                SELECT learned_baskets.*, count(*) OVER (PARTITION BY sku) AS orders,
                    row_number() OVER (PARTITION BY sku ORDER BY placed_at DESC, line DESC) AS rank
                FROM learned_baskets
            ) AS ranked WHERE rank = 1"""
    )
    execution.execute(
        """INSERT INTO collected_pairs SELECT a.sku, b.sku, count(*)
            FROM learned_baskets a JOIN learned_baskets b ON b.order_id = a.order_id AND b.sku <> a.sku
            GROUP BY a.sku, b.sku"""
    )
    [(orders,)] = execution.fetch_all("SELECT count(DISTINCT order_id) FROM learned_baskets")
    return int(orders)


def _collect_first_orders(after: int) -> None:
    execution.execute(
        f"""INSERT INTO sightings SELECT l.sku_folded, min(o.placed_at)
            FROM customers_orderline l
            JOIN customers_order o ON o.customer_id = l.customer_id AND o.id = l.order_id
            WHERE o.customer_id > %s AND o.customer_id <= %s AND o.status IN ({_COUNTING})
                AND l.sku_folded <> ''
            GROUP BY l.sku_folded""",
        [after, after + RANGE_SIZE],
    )


def _rank_pairs(orders: int) -> None:
    """Fill ``learned_pairs`` with the best pairs of each product, of so many orders."""
    temporary_tables.create_temporary_table(
        "learned_pairs", "sku text, other text, orders bigint, lift bigint"
    )
    # Whole ten-thousandths, rounded half up: adding half the divisor first, as integer division cuts.
    execution.execute(
        f"""INSERT INTO learned_pairs
            WITH alone AS MATERIALIZED (
                    SELECT sku, CAST(sum(orders) AS bigint) AS orders FROM collected_products GROUP BY sku),
                together AS MATERIALIZED (
                    SELECT sku, other, CAST(sum(orders) AS bigint) AS orders FROM collected_pairs
                    GROUP BY sku, other HAVING sum(orders) >= {MIN_SUPPORT}),
                lifted AS (
                    SELECT t.sku, t.other, t.orders,
                        (20000 * t.orders * {orders} + a.orders * b.orders) / (2 * a.orders * b.orders) AS lift
                    FROM together t JOIN alone a ON a.sku = t.sku JOIN alone b ON b.sku = t.other)
            SELECT sku, other, orders, lift FROM (
                SELECT lifted.*, row_number() OVER (
                    PARTITION BY sku ORDER BY lift DESC, orders DESC, other) AS rank FROM lifted
            ) AS ranked WHERE rank <= {MAX_PAIRS_PER_PRODUCT} AND lift > 10000"""
    )


def _write_products(at: datetime) -> None:
    temporary_tables.create_temporary_table(
        "latest_lines", "customer_id bigint, line bigint PRIMARY KEY, sku text, orders bigint"
    )
    execution.execute(
        """INSERT INTO latest_lines SELECT customer_id, line, sku, orders FROM (
                SELECT customer_id, sku, line, CAST(sum(orders) OVER (PARTITION BY sku) AS bigint) AS orders,
                    row_number() OVER (PARTITION BY sku ORDER BY placed_at DESC, line DESC) AS rank
                FROM collected_products
            ) AS ranked WHERE rank = 1"""
    )
    temporary_tables.copy_rows(
        "product_lines",
        "customers_orderline",
        """customer_id IN (SELECT customer_id FROM latest_lines) AND id IN (SELECT line FROM latest_lines)""",
    )
    execution.execute(
        """INSERT INTO campaigns_soldproduct (sku, sku_folded, name, category, brand, category_folded, brand_folded,
                price, url, image, orders, learned_at)
            SELECT l.sku, s.sku, l.name, l.category, l.brand, l.category_folded, l.brand_folded,
                l.unit_price, '', '', s.orders, %s
            FROM latest_lines s JOIN product_lines l ON l.id = s.line WHERE true
            ON CONFLICT (sku_folded) DO UPDATE SET sku = excluded.sku, name = excluded.name,
                category = excluded.category, brand = excluded.brand, category_folded = excluded.category_folded,
                brand_folded = excluded.brand_folded, price = excluded.price, orders = excluded.orders,
                learned_at = excluded.learned_at""",
        [dialect.datetime_param(at)],
    )
    execution.execute(
        "DELETE FROM campaigns_soldproduct WHERE learned_at <> %s", [dialect.datetime_param(at)]
    )


def _write_pairs() -> None:
    execution.execute("DELETE FROM campaigns_boughttogether")
    execution.execute(
        """INSERT INTO campaigns_boughttogether (product_id, other_id, orders, lift)
            SELECT a.id, b.id, p.orders, p.lift FROM learned_pairs p
            JOIN campaigns_soldproduct a ON a.sku_folded = p.sku
            JOIN campaigns_soldproduct b ON b.sku_folded = p.other"""
    )


def _write_first_seen() -> None:
    """Store when each product was first ordered, or first named by the shop's server or a file.

    Events of browsers are untrusted and ignored. Events are searched once for each product.
    """
    table = SoldProduct._meta.db_table
    execution.execute(
        f"""INSERT INTO sightings SELECT sku_folded, min(occurred_at) FROM customers_event
            WHERE sku_folded IN (SELECT sku_folded FROM {table} WHERE first_at IS NULL) AND NOT is_from_browser
            GROUP BY sku_folded"""
    )
    execution.execute(
        f"""UPDATE {table} SET first_at = first_seen.at FROM (
                SELECT sku, min(at) AS at FROM (
                    SELECT sku, at FROM sightings
                    UNION ALL SELECT sku_folded, first_at FROM {table} WHERE first_at IS NOT NULL
                ) AS every GROUP BY sku) AS first_seen
            WHERE first_seen.sku = {table}.sku_folded"""
    )


def _write_links(at: datetime) -> None:
    """Store the page and the picture of each product from its latest event of the last days."""
    events = (
        Event.objects.filter(name__in=PRODUCT_EVENTS, occurred_at__gt=at - LINK_PERIOD, occurred_at__lte=at)
        .filter(properties__has_key="url")
        .exclude(sku_folded="")
    )
    latest = events.order_by().values("sku_folded").annotate(at=Max("occurred_at"))
    temporary_tables.create_temporary_table("latest_views", f"sku text, at {dialect.datetime_type_sql()}")
    execution.execute(compose("INSERT INTO latest_views (sku, at) {latest}", latest=latest))
    # Also rows of one product at the moment of another; the last of each product is its latest.
    shown = events.filter(
        sku_folded__in=RawSQL("SELECT sku FROM latest_views", ()),
        occurred_at__in=RawSQL("SELECT at FROM latest_views", ()),
    ).order_by("occurred_at", "pk")
    products = {
        sku: product_from_event(properties)
        for sku, properties in shown.values_list("sku_folded", "properties")
    }
    temporary_tables.empty_table("latest_views")
    changed = []
    for sold in SoldProduct.objects.iterator():
        product = products.get(sold.sku_folded)
        if product and product.url and (sold.url, sold.image) != (product.url, product.image):
            sold.url, sold.image = product.url, product.image
            changed.append(sold)
    SoldProduct.objects.bulk_update(changed, ["url", "image"], batch_size=500)
