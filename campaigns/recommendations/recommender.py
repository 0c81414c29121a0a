"""Products for one customer at one instant: bought together, similar, viewed, in the cart, popular or new.

Each list takes a few indexed queries, whatever the size of the shop, and reads a limited number of rows.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final

from django.db.models import Case, Max, Q, QuerySet, When

from campaigns.models import BoughtTogether, SoldProduct
from core.values import sortable_values
from customers.models import COUNTING_STATUSES, Customer, Event, Order, OrderLine

from .products import Product, parse_number, product_from_event, product_from_orders

NEW_PRODUCT_PERIOD: Final = timedelta(days=30)
VIEW_PERIOD: Final = timedelta(days=90)
MAX_VIEWS, MAX_CART_EVENTS, MAX_ORDER_LINES = 200, 500, 100
MAX_SEED_PRODUCTS: Final = 10  # products of a customer that recommendations start from


class CustomerProducts:
    """The products of one customer at an instant. Each part is read once."""

    def __init__(self, customer: Customer, at: datetime) -> None:
        self.customer, self.at = customer, at

    def bought_together(self, limit: int) -> list[Product]:
        """Return products that others bought together with the customer's, by lift."""
        pairs = (
            BoughtTogether.objects.filter(product__sku_folded__in=[seed.key for seed in self._seeds])
            .exclude(other__sku_folded__in=self._owned_or_in_cart)
            .values("other")
            .annotate(best=Max("lift"), times=Max("orders"))
            .order_by("-best", "-times", "other__sku_folded")
        )
        keys = [pair["other"] for pair in pairs[:limit]]
        sold = SoldProduct.objects.in_bulk(keys)
        return [product_from_orders(sold[key]) for key in keys]

    def similar(self, limit: int) -> list[Product]:
        """Return products of the same categories or brands, the most bought first."""
        others = SoldProduct.objects.filter(self._similar_q).exclude(sku_folded__in=self._owned_or_in_cart)
        return [product_from_orders(sold) for sold in others.order_by("-orders", "sku_folded")[:limit]]

    def popular(self, limit: int) -> list[Product]:
        """Return the most bought products that the customer does not have."""
        others = SoldProduct.objects.exclude(sku_folded__in=self._owned_or_in_cart)
        return [product_from_orders(sold) for sold in others.order_by("-orders", "sku_folded")[:limit]]

    def new(self, limit: int) -> list[Product]:
        """Return products that are new in the shop, first those similar to the customer's.

        Empty if the shop's records are too young to tell.
        """
        since = self.at - NEW_PRODUCT_PERIOD
        others = SoldProduct.objects.exclude(sku_folded__in=self._owned_or_in_cart)
        if not others.filter(first_at__lte=since - NEW_PRODUCT_PERIOD).exists():
            return []
        dissimilarity = Case(When(self._similar_q, then=0), default=1)
        latest = others.filter(first_at__gt=since, first_at__lte=self.at).order_by(
            dissimilarity, "-orders", "sku_folded"
        )
        return [product_from_orders(sold) for sold in latest[:limit]]

    def viewed(self, limit: int) -> list[Product]:
        """Return products that the customer viewed lately and has not bought, the latest first."""
        return [product for product in self._views if product.key not in self._owned][:limit]

    def cart(self, limit: int) -> list[Product]:
        """Return the products in the cart, the latest first: added minus removed since the latest uncancelled order."""
        return self._cart[:limit]

    @cached_property
    def last_order(self) -> Order | None:
        return _counting_orders_queryset(self.customer, self.at).order_by("-placed_at", "-pk").first()

    def last_bought(self, limit: int) -> list[Product]:
        """Return the products of the latest counting order."""
        if self.last_order is None:
            return []
        lines = OrderLine.objects.filter(
            customer=self.customer, order=self.last_order, quantity__gt=0
        ).order_by("pk")[:limit]
        return _add_details(map(_product_from_line, lines))

    @cached_property
    def _owned(self) -> frozenset[str]:
        return frozenset(self._bought.values_list("sku_folded", flat=True).distinct())

    @property
    def _bought(self) -> QuerySet[OrderLine]:
        counting = {
            "order__customer": self.customer,
            "order__status__in": COUNTING_STATUSES,
            "order__placed_at__lte": self.at,
        }
        return OrderLine.objects.filter(
            customer=self.customer, quantity__gt=0, sku_folded__gt="", **counting
        ).order_by()

    @property
    def _owned_or_in_cart(self) -> set[str]:
        return {*self._owned, *(product.key for product in self._cart)}

    @cached_property
    def _seeds(self) -> list[Product]:
        """The products to start from: the cart, else the last bought, else the last viewed."""
        if self._cart:
            return self._cart[:MAX_SEED_PRODUCTS]
        lines = self._bought.order_by("-order__placed_at", "-order_id", "-pk")[:MAX_ORDER_LINES]
        bought = {line.sku_folded: _product_from_line(line) for line in lines}
        return list(bought.values())[:MAX_SEED_PRODUCTS] or self._views[:MAX_SEED_PRODUCTS]

    @property
    def _similar_q(self) -> Q:
        categories = {
            sortable_values.fold_case(product.category) for product in self._seeds if product.category
        }
        brands = {sortable_values.fold_case(product.brand) for product in self._seeds if product.brand}
        return Q(category_folded__in=categories) | Q(brand_folded__in=brands)

    @cached_property
    def _views(self) -> list[Product]:
        events = self._events("Product Viewed").filter(occurred_at__gt=self.at - VIEW_PERIOD)
        newest = events.order_by("-occurred_at", "-pk").values_list("properties", flat=True)[:MAX_VIEWS]
        seen: dict[str, Product] = {}
        for product in map(product_from_event, newest):
            if product.key:
                seen.setdefault(product.key, product)
        return _add_details(seen.values())

    @cached_property
    def _cart(self) -> list[Product]:
        events = self._events("Product Added", "Product Removed")
        orders = Order.objects.filter(customer=self.customer, placed_at__lte=self.at)
        ordered = orders.exclude(status=Order.Status.CANCELLED).aggregate(last=Max("placed_at"))["last"]
        if ordered:
            events = events.filter(occurred_at__gt=ordered)
        newest = events.order_by("-occurred_at", "-pk").values_list("name", "properties")[:MAX_CART_EVENTS]
        cart: dict[str, Product] = {}
        for name, properties in reversed(newest):
            product = product_from_event(properties)
            if not product.key:
                continue
            sent = parse_number(properties.get("quantity"))
            change = Decimal(1) if sent is None else sent
            before = cart.pop(product.key, None)
            quantity = before.quantity or Decimal(0) if before else Decimal(0)
            if name == "Product Added" and quantity + change > 0:
                cart[product.key] = replace(product, quantity=quantity + change)
            elif name == "Product Removed" and before and quantity > change:
                cart[product.key] = replace(before, quantity=quantity - change)
        return _add_details(reversed(cart.values()))

    def _events(self, *names: str) -> QuerySet[Event]:
        return Event.objects.filter(customer=self.customer, name__in=names, occurred_at__lte=self.at)


def _counting_orders_queryset(customer: Customer, at: datetime) -> QuerySet[Order]:
    return Order.objects.filter(customer=customer, status__in=COUNTING_STATUSES, placed_at__lte=at)


def _product_from_line(line: OrderLine) -> Product:
    key = line.sku_folded or line.name_folded
    return Product(
        key, line.sku, line.name, line.category, line.brand, line.unit_price, quantity=line.quantity
    )


def _add_details(products: Iterable[Product]) -> list[Product]:
    """Add missing names, prices, pages and pictures from the shop's other orders."""
    products = list(products)
    sold = {
        row.sku_folded: product_from_orders(row)
        for row in SoldProduct.objects.filter(sku_folded__in=[product.key for product in products])
    }
    return [
        _merge_details(product, sold[product.key]) if product.key in sold else product for product in products
    ]


def _merge_details(product: Product, known: Product) -> Product:
    return replace(
        product,
        name=product.name or known.name,
        category=product.category or known.category,
        brand=product.brand or known.brand,
        price=known.price if product.price is None else product.price,
        url=product.url or known.url,
        image=product.image or known.image,
    )
