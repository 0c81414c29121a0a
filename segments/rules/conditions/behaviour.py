"""Filters on behaviour: activity, sessions, the open cart, events, views."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    When,
)
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from core.db.sql import Query
from core.durations import duration_text
from core.values.decimals import SCALE
from customers.facts.definitions import SESSION_GAP_MINUTES
from customers.models import Event
from segments.rules.base import Condition, Exposure, Preset, condition
from segments.rules.context import EvaluationContext
from segments.rules.declarations import inline_param, param, required
from segments.rules.lookups import Range, not_true_q
from segments.rules.measures import MomentFact, aggregate_subquery, coalesce_zero
from segments.rules.operators import Moment, Number, Period
from segments.rules.parameters import FLAG, NAME, SPAN, Product, Property, period_q
from segments.rules.time_changes import (
    borders_of_rows,
    events_in_window,
    facts_in_window,
    first_seen_in_window,
    orders_in_window,
)

from .orders import counting_orders_queryset, limits_phrase


@condition(
    "last_activity",
    group="behaviour",
    label="Last activity",
    unit="moment",
    example={"not_within_last": "90d"},
    synonyms="active, inactive, engagement, engaged, churn, dormant, quiet, silent, lost, idle, last seen, last "
    "visit, visited, recency, at risk",
    presets=(
        Preset(
            "Inactive for a while",
            {"not_within_last": "90d"},
            "inactive, quiet, silent, dormant, churn, churned, lost, idle, at risk, win back, disengaged, sunset",
        ),
        Preset("Active recently", {"within_last": "30d"}, "active, engaged, engagement, recent, visited"),
    ),
)
class LastActivity(MomentFact):
    """The latest of these: first visit, any event, any order of any status."""

    prevented_by = ("visit", "order")
    exposure = Exposure.OPEN

    fact = "last_activity_at"
    records = (events_in_window, orders_in_window, first_seen_in_window)
    when: Moment = inline_param(Moment)

    def sentence(self) -> str:
        return f"was last active {self.when.phrase()}"


class _EventCondition(Condition):
    """A condition on the events of a period."""

    prevented_by = ("visit",)
    during: Period | None

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return events_in_window(since, until, self.during.spans if self.during else ())

    def _all_events(self, context: EvaluationContext) -> QuerySet[Any]:
        """Return the events of all customers that it counts, if they are in the period."""
        raise NotImplementedError

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = self.during.spans if self.during else ()
        return borders_of_rows(self._all_events(context), "occurred_at", spans, context, within)


@condition(
    "session_count",
    group="behaviour",
    label="Number of sessions",
    unit="count",
    example={"at_least": 1},
    synonyms="visit, visits, visited, session, sessions, traffic, engagement, browse, browsed, returning visitor",
)
class SessionCount(_EventCondition):
    """The number of sessions, by the time they started.

    A session starts with the customer's first event, and with each event more than 30 minutes after the previous one.
    """

    exposure = Exposure.OPEN

    number: Number = inline_param(Number)
    during: Period | None = param(Period)

    def q(self, context: EvaluationContext) -> Q:
        return self.number.q(self.value(context))

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("session_count")
        starts = context.events().filter(
            period_q(self.during, "occurred_at", context.at, context.zone), self._starts_session()
        )
        # Several events at one instant start one session.
        return coalesce_zero(aggregate_subquery(starts, Count("occurred_at", distinct=True)))

    def _starts_session(self) -> Q:
        pause = ExpressionWrapper(
            OuterRef("occurred_at") - timedelta(minutes=SESSION_GAP_MINUTES), output_field=DateTimeField()
        )
        just_before = Event.objects.filter(
            customer=OuterRef("customer"), occurred_at__lt=OuterRef("occurred_at"), occurred_at__gte=pause
        )
        return Q(~Exists(just_before))

    def _all_events(self, context: EvaluationContext) -> QuerySet[Any]:
        return context.all_events().filter(self._starts_session())

    def sentence(self) -> str:
        return f"had {self.number.phrase('session')}{limits_phrase(self.during)}"


@condition(
    "open_cart",
    group="behaviour",
    label="Open cart",
    unit="moment",
    example={"within_last": "7d", "older_than": "1h", "value": {"at_least": 50}},
    synonyms="basket, abandoned, abandoned cart, cart abandonment, shopping cart, checkout, left behind, cart "
    "recovery, added to cart",
)
class OpenCart(Condition):
    """The customer has put something into the cart and not ordered since.

    The latest “Product Added” event is within the time given and after the customer's latest order that is not
    cancelled. Since that order, more was added to the cart than removed. `value` is price × quantity of everything
    added since that order, minus everything removed.
    """

    prevented_by = ("order", "change the cart")
    verbs = ("has one", "has none")

    exposure = Exposure.OPEN

    within_last: timedelta = required(SPAN)
    older_than: timedelta | None = param(SPAN)
    value_: Number | None = param(Number)

    def q(self, context: EvaluationContext) -> Q:
        latest = context.at - self.older_than if self.older_than else context.at
        query = Range(context.at - self.within_last, latest, excludes_low=True).q(
            context.fact("last_added_at")
        )
        query &= self._is_open(context)
        return query & self.value_.q(context.fact("cart_value"), SCALE) if self.value_ else query

    def value(self, context: EvaluationContext) -> Any:
        return Case(
            When(self._is_open(context), then=context.fact("last_added_at")), output_field=DateTimeField()
        )

    def _is_open(self, context: EvaluationContext) -> Q:
        added, ordered = context.fact("last_added_at"), context.fact("uncancelled_order_at")
        return not_true_q(Q(LessThanOrEqual(added, ordered))) & Q(
            GreaterThan(context.fact("cart_quantity"), 0)
        )

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        spans = [span for span in (self.within_last, self.older_than) if span]
        if until.has_indexed_moments:
            return facts_in_window("last_added_at", since, until, spans)
        added = events_in_window(since, until, spans, name="Product Added")
        return [*added, *events_in_window(since, until), *orders_in_window(since, until)]

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = [span for span in (self.within_last, self.older_than) if span]
        return borders_of_rows(context.facts_rows(), "last_added_at", spans, context, within)

    def sentence(self) -> str:
        return self._phrase(self.value_.phrase() if self.value_ else "")

    def detailed_sentence(self, context: EvaluationContext, money: Callable[[Decimal], str]) -> str:
        return self._phrase(self.value_.phrase(write=money) if self.value_ else "")

    def _phrase(self, value: str) -> str:
        worth = f" worth {value}" if value else ""
        age = f" and at least {duration_text(self.older_than)} ago" if self.older_than else ""
        return f"has an open cart{worth}, last added to in the last {duration_text(self.within_last)}{age}"


@condition(
    "event_count",
    group="behaviour",
    label="Number of events",
    unit="count",
    example={"event": "Product Viewed", "at_least": 3, "where": {"property": "price", "at_least": 10}},
    synonyms="event, action, activity, behaviour, custom event, did, interaction, page view, website, app",
    presets=(
        Preset(
            "Started a checkout",
            {"event": "Checkout Started", "at_least": 1},
            "checkout, abandoned checkout, payment",
        ),
        Preset("Added to the cart", {"event": "Product Added", "at_least": 1}, "added to cart, cart"),
        Preset(
            "Added to a wishlist",
            {"event": "Product Added to Wishlist", "at_least": 1},
            "wishlist, wish list, favourite, favorite, saved",
        ),
        Preset(
            "Searched for products", {"event": "Products Searched", "at_least": 1}, "search, searched, query"
        ),
        Preset(
            "Viewed products of a price",
            {"event": "Product Viewed", "at_least": 1, "where": {"property": "price", "at_least": 100}},
            "price, expensive, cheap",
        ),
        Preset(
            "Came by a campaign",
            {"at_least": 1, "where": {"property": "utm_campaign", "is": ""}},
            "UTM, utm_campaign, utm_medium, campaign, ad, link",
        ),
        Preset(
            "Came from a page",
            {"at_least": 1, "where": {"property": "referrer", "contains": ""}},
            "referrer, referer, referral, came from",
        ),
        Preset(
            "Visited a page",
            {"at_least": 1, "where": {"property": "url", "contains": ""}},
            "visited, page, URL, landing page, viewed a page",
        ),
    ),
)
class EventCount(_EventCondition):
    """The number of events, of one name or of any name."""

    exposure = Exposure.OPEN

    number: Number = inline_param(Number)
    event: str | None = param(NAME)
    during: Period | None = param(Period)
    product: Product | None = param(Product)
    where: Property | None = param(Property)

    def q(self, context: EvaluationContext) -> Q:
        return self.number.q(self.value(context))

    def value(self, context: EvaluationContext) -> Any:
        if not self.event and not self.during and not self.product and not self.where:
            return context.fact("event_count")
        events = context.events().filter(period_q(self.during, "occurred_at", context.at, context.zone))
        return coalesce_zero(aggregate_subquery(self._limited(events), Count("pk")))

    def _limited(self, events: QuerySet[Any]) -> QuerySet[Any]:
        if self.event:
            events = events.filter(name=self.event)
        if self.product:
            events = events.filter(self.product.in_event_q())
        return events.filter(self.where.q()) if self.where else events

    def _all_events(self, context: EvaluationContext) -> QuerySet[Any]:
        return self._limited(context.all_events())

    def effective_exposure(self) -> Exposure:
        """Restrict questions on properties, since any property may be contact data."""
        return Exposure.PERSONAL if self.where else self.exposure

    def sentence(self) -> str:
        phrase = (
            f"did “{self.event}” {self.number.phrase('time')}"
            if self.event
            else f"had {self.number.phrase('event')}"
        )
        phrase += f" with {self.product.phrase()}" if self.product else ""
        phrase += f" {self.where.phrase()}" if self.where else ""
        return phrase + (f" {self.during.phrase()}" if self.during else "")


@condition(
    "viewed",
    group="behaviour",
    label="Viewed",
    unit="count",
    example={"product": {"brand": {"is": "Acme"}}, "during": {"within_last": "7d"}, "and_not_bought": True},
    synonyms="view, views, browse, browsed, browsing, looked at, product view, interest, interested, visited, "
    "product, category, brand",
    presets=(
        Preset(
            "Viewed a category", {"product": {"category": {"in": []}}}, "category, collection, browse, viewed"
        ),
        Preset(
            "Viewed a category, never bought it",
            {"product": {"category": {"in": []}}, "and_not_bought": True},
            "browse abandonment, viewed not bought, interested, browsed",
        ),
    ),
)
class Viewed(_EventCondition):
    """The customer viewed such a product at least once and, with `and_not_bought`, never bought one."""

    verbs = ("at least once", "never")

    exposure = Exposure.OPEN

    product: Product | None = param(Product)
    during: Period | None = param(Period)
    and_not_bought: bool | None = param(FLAG)

    def _views(self, context: EvaluationContext) -> Any:
        in_period = period_q(self.during, "occurred_at", context.at, context.zone)
        return self._limited(context.events()).filter(in_period)

    def _limited(self, events: QuerySet[Any]) -> QuerySet[Any]:
        views = events.filter(name="Product Viewed")
        return views.filter(self.product.in_event_q()) if self.product else views

    def _all_events(self, context: EvaluationContext) -> QuerySet[Any]:
        return self._limited(context.all_events())

    def q(self, context: EvaluationContext) -> Q:
        viewed = Q(Exists(self._views(context)))
        if not self.and_not_bought:
            return viewed
        return viewed & not_true_q(Q(Exists(counting_orders_queryset(context, None, self.product))))

    def value(self, context: EvaluationContext) -> Any:
        return coalesce_zero(aggregate_subquery(self._views(context), Count("pk")))

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return [
            *super().may_flip(since, until),
            *(orders_in_window(since, until) if self.and_not_bought else []),
        ]

    def sentence(self) -> str:
        phrase = f"viewed {self.product.phrase() if self.product else 'a product'}"
        phrase += f" {self.during.phrase()}" if self.during else ""
        return phrase + (" and never bought one" if self.and_not_bought else "")
