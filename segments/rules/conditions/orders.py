"""Filters on orders: how many, when, which products."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import Count, Exists, F, Q, QuerySet
from django.db.models.lookups import GreaterThan

from core.db.sql import Query
from core.values.decimals import SCALE
from customers.facts.definitions import LATEST_ORDER_COUNT
from segments.rules.base import Condition, Exposure, Preset, condition
from segments.rules.context import EvaluationContext
from segments.rules.declarations import inline_param, param
from segments.rules.lookups import constant_q, not_true_q
from segments.rules.measures import MomentFact, RoundedRatio, aggregate_subquery, coalesce_zero
from segments.rules.operators import Moment, Number, Period, Share
from segments.rules.parameters import Product, period_q
from segments.rules.text_operators import Text
from segments.rules.time_changes import borders_of_rows, orders_in_window

DISCOUNTED_Q = Q(discount_total__gt=0) | ~Q(coupon_code="")
REFUNDED_Q = Q(refunded_total__gt=0) | Q(status="refunded")


def counting_orders_queryset(
    context: EvaluationContext,
    during: Period | None,
    product: Product | None = None,
    coupon: Text | None = None,
) -> Any:
    orders = context.orders().filter(period_q(during, "placed_at", context.at, context.zone))
    return limited_orders(orders, product, coupon)


def limited_orders(orders: QuerySet[Any], product: Product | None, coupon: Text | None) -> QuerySet[Any]:
    """Return those of some orders that contain a product and used a coupon."""
    if product:
        orders = orders.filter(product.in_order_q())
    return orders.filter(coupon.q(F("coupon_code_folded"))) if coupon else orders


class _OrderCondition(Condition):
    """A condition on the orders of a period."""

    prevented_by: ClassVar[Sequence[str]] = ("order",)
    during: Period | None

    def _all_orders(self, context: EvaluationContext) -> QuerySet[Any]:
        """Return the orders of all customers that it counts, if they are in the period."""
        return context.all_orders()

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = self.during.spans if self.during else ()
        return borders_of_rows(self._all_orders(context), "placed_at", spans, context, within)

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return orders_in_window(since, until, self.during.spans if self.during else ())


def limits_phrase(during: Period | None, product: Product | None = None, coupon: Text | None = None) -> str:
    """Return the phrase, such as " with a product whose … with a coupon code that … in the last 30 days"."""
    phrase = f" with {product.phrase()}" if product else ""
    phrase += f" with a coupon code that {coupon.phrase()}" if coupon else ""
    return phrase + (f" {during.phrase()}" if during else "")


@condition(
    "order_count",
    group="orders",
    label="Number of orders",
    unit="count",
    example={"at_least": 2, "during": {"within_last": "30d"}},
    synonyms="purchased, frequency, purchases, bought, buyer, buyers, order, orders, ordered, loyal, loyalty, "
    "repeat, returning, transactions, conversions, times",
    presets=(
        Preset(
            "Has never ordered",
            {"is": 0},
            "never ordered, never bought, lead, prospect, non-buyer, no orders, no purchase",
        ),
        Preset(
            "Ordered exactly once",
            {"is": 1},
            "first order, one-time buyer, first-time buyer, once, single order",
        ),
        Preset(
            "Ordered at least twice", {"at_least": 2}, "repeat, returning, loyal, twice, second order, again"
        ),
        Preset(
            "Number of orders in a period",
            {"at_least": 2, "during": {"within_last": "60d"}},
            "orders in the last days, bought recently, period, frequency, twice",
        ),
    ),
)
class OrderCount(_OrderCondition):
    """The number of counting orders."""

    exposure = Exposure.OPEN

    number: Number = inline_param(Number)
    during: Period | None = param(Period)
    product: Product | None = param(Product)
    coupon: Text | None = param(Text)

    def _all_orders(self, context: EvaluationContext) -> QuerySet[Any]:
        return limited_orders(context.all_orders(), self.product, self.coupon)

    def q(self, context: EvaluationContext) -> Q:
        if not self.product and not self.coupon:
            query = self._by_latest_orders(context)
            if query is not None:
                return query
        return self.number.q(self.value(context))

    def value(self, context: EvaluationContext) -> Any:
        if not self.during and not self.product and not self.coupon:
            return context.fact("order_count")
        orders = counting_orders_queryset(context, self.during, self.product, self.coupon)
        return coalesce_zero(aggregate_subquery(orders, Count("pk")))

    def _by_latest_orders(self, context: EvaluationContext) -> Q | None:
        """Answer from facts alone: "at least k since then" means "the k-th latest order was placed since then"."""
        if self.during is None or self.during.word not in ("within_last", "on_or_after"):
            return None
        bounds = self.number.range.in_units(1)
        low, high = max(bounds.low or 0, 0), bounds.high
        if low > LATEST_ORDER_COUNT or (high is not None and high >= LATEST_ORDER_COUNT):
            return None
        since = self.during.range(context.at, context.zone)

        def at_least(count: int) -> Q:
            return since.q(context.fact("last_order_at" if count == 1 else f"order_{count}_at"))

        if high is not None and high < low:
            query = constant_q(False)
        else:
            query = at_least(low) if low else constant_q(True)
            query &= not_true_q(at_least(high + 1)) if high is not None else Q()
        return not_true_q(query) if self.number.is_negative else query

    def sentence(self) -> str:
        return f"placed {self.number.phrase('order')}{limits_phrase(self.during, self.product, self.coupon)}"


@condition(
    "first_order",
    group="orders",
    label="First order",
    unit="moment",
    example={"within_last": "30d"},
    synonyms="first purchase, new buyer, became a customer, conversion, converted, acquired",
    presets=(Preset("New buyers", {"within_last": "30d"}, "new, new buyer, new customer, first-time buyer"),),
)
class FirstOrder(MomentFact):
    """The time of the first counting order."""

    exposure = Exposure.OPEN

    fact = "first_order_at"
    records = (orders_in_window,)
    when: Moment = inline_param(Moment)

    def sentence(self) -> str:
        return _order_phrase(self.when, "placed their first order")


@condition(
    "last_order",
    group="orders",
    label="Last order",
    unit="moment",
    example={"not_within_last": "90d"},
    synonyms="last purchase, latest purchase, recency, purchased, bought, lapsed, lost, churn, win back, at risk",
    presets=(
        Preset(
            "Has not ordered for a while",
            {"not_within_last": "90d"},
            "win back, churn, churned, lost, lapsed, at risk, dormant, slipping away",
        ),
        Preset("Ordered recently", {"within_last": "30d"}, "recent, active buyer, bought recently"),
    ),
)
class LastOrder(MomentFact):
    """The time of the latest counting order."""

    prevented_by = ("order",)
    exposure = Exposure.OPEN

    fact = "last_order_at"
    records = (orders_in_window,)
    when: Moment = inline_param(Moment)

    def sentence(self) -> str:
        return _order_phrase(self.when, "placed their last order")


def _order_phrase(when: Moment, verb: str) -> str:
    if when.word == "ever":
        return "has ordered" if when.value else "has never ordered"
    return f"{verb} {when.phrase()}"


@condition(
    "days_between_orders",
    group="orders",
    label="Days between orders",
    unit="days",
    example={"less_than": 60},
    synonyms="purchase interval, cadence, frequency, cycle, replenishment, repurchase, gap, regular",
)
class DaysBetweenOrders(Condition):
    """The mean number of days between consecutive counting orders. Missing with fewer than two orders."""

    exposure = Exposure.OPEN

    number: Number = inline_param(Number)

    def q(self, context: EvaluationContext) -> Q:
        return self.number.q(self.value(context), SCALE)

    def value(self, context: EvaluationContext) -> Any:
        return context.fact("days_between_orders")

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return orders_in_window(since, until)

    def sentence(self) -> str:
        return f"has {self.number.phrase('day')} between orders on average"


@condition(
    "discounted_order_share",
    group="orders",
    label="Share of discounted orders",
    unit="share",
    example={"at_least": 0.5, "during": {"within_last": "365d"}},
    synonyms="discount, discounts, coupon, sale, bargain, promotion, promo, deal, voucher, price-sensitive",
    presets=(
        Preset(
            "Mostly buys with a discount",
            {"at_least": 0.5},
            "discount, bargain hunter, deal seeker, coupon lover",
        ),
    ),
)
class DiscountedOrderShare(_OrderCondition):
    """The share of counting orders with a discount or a coupon, from 0 to 1. Missing without orders."""

    exposure = Exposure.OPEN

    number: Share = inline_param(Share)
    during: Period | None = param(Period)

    def q(self, context: EvaluationContext) -> Q:
        query = self.number.q(self.value(context), SCALE)
        if self.number.is_negative:
            return query
        # For customers without orders this ends the conjunction early; a NULL share would not.
        return Q(GreaterThan(context.fact("order_count"), 0)) & query

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("discounted_order_share")
        share = RoundedRatio(Count("pk", filter=DISCOUNTED_Q) * SCALE, Count("pk"))
        return aggregate_subquery(counting_orders_queryset(context, self.during), share)

    def sentence(self) -> str:
        return f"has a share of discounted orders of {self.number.phrase()}{limits_phrase(self.during)}"


@condition(
    "bought",
    group="orders",
    label="Bought",
    unit="count",
    example={"product": {"category": {"is": "Shoes"}}, "during": {"within_last": "90d"}},
    synonyms="purchased, product, item, article, SKU, category, brand, collection, vendor, coupon, discount "
    "code, cross-sell, upsell",
    presets=(
        Preset("Bought a product", {"product": {"name": {"is": ""}}}, "product, item, article, purchased"),
        Preset(
            "Bought from a category",
            {"product": {"category": {"in": []}}},
            "category, collection, department, purchased",
        ),
        Preset(
            "Bought a brand",
            {"product": {"brand": {"in": []}}},
            "brand, vendor, manufacturer, label, purchased",
        ),
        Preset(
            "Used a coupon",
            {"coupon": {"exists": True}},
            "coupon, voucher, discount, discount code, promo code, redeemed",
        ),
    ),
)
class Bought(_OrderCondition):
    """The customer placed at least one counting order with such a product, coupon or time."""

    verbs = ("at least once", "never")

    exposure = Exposure.OPEN

    product: Product | None = param(Product)
    during: Period | None = param(Period)
    coupon: Text | None = param(Text)

    def _all_orders(self, context: EvaluationContext) -> QuerySet[Any]:
        return limited_orders(context.all_orders(), self.product, self.coupon)

    def q(self, context: EvaluationContext) -> Q:
        return Q(Exists(counting_orders_queryset(context, self.during, self.product, self.coupon)))

    def value(self, context: EvaluationContext) -> Any:
        return coalesce_zero(
            aggregate_subquery(
                counting_orders_queryset(context, self.during, self.product, self.coupon), Count("pk")
            )
        )

    def sentence(self) -> str:
        bought = self.product.phrase() if self.product else "anything"
        return f"bought {bought}{limits_phrase(self.during, coupon=self.coupon)}"


@condition(
    "refund_count",
    group="orders",
    label="Number of refunds",
    unit="count",
    example={"at_least": 1},
    synonyms="refund, refunded, return, returned, money back, complaint, chargeback, credit note",
)
class RefundCount(_OrderCondition):
    """The number of orders of any status that were refunded, fully or in part, by the time they were placed."""

    prevented_by = ()
    exposure = Exposure.OPEN

    number: Number = inline_param(Number)
    during: Period | None = param(Period)

    def _all_orders(self, context: EvaluationContext) -> QuerySet[Any]:
        return context.all_orders(counting=False).filter(REFUNDED_Q)

    def q(self, context: EvaluationContext) -> Q:
        return self.number.q(self.value(context))

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("refund_count")
        placed = period_q(self.during, "placed_at", context.at, context.zone)
        return coalesce_zero(
            aggregate_subquery(context.orders(counting=False).filter(placed, REFUNDED_Q), Count("pk"))
        )

    def sentence(self) -> str:
        return f"had {self.number.phrase('order')} refunded{limits_phrase(self.during)}"
