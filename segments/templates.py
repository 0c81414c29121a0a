"""The ready-to-use segments: sixteen rules with parameters. They use lifecycle filters only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

Json = dict[str, Any]


class ParameterError(ValueError):
    """A parameter of a template is invalid. The message says what to change."""


PURPOSES = {
    "win": "Win first orders",
    "grow": "Turn one order into more",
    "keep": "Keep the best",
    "return": "Win back",
}


@dataclass(frozen=True)
class Parameter:
    """A number that staff can change, with its bounds."""

    default: float
    help: str
    minimum: float = 1
    maximum: float = 3650
    is_whole: bool = True

    def read(self, name: str, value: Any) -> float:
        """Validate a value; raise ParameterError."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and not isfinite(value))
            or (self.is_whole and value != int(value))
        ):
            raise ParameterError(f"{name}: expected a {'whole ' if self.is_whole else ''}number")
        if not self.minimum <= value <= self.maximum:
            raise ParameterError(f"{name}: expected a number from {self.minimum:g} to {self.maximum:g}")
        return int(value) if self.is_whole else value


@dataclass(frozen=True)
class Template:
    """A ready-to-use segment. ``use`` says what a shop does with it; ``purpose`` is one of ``PURPOSES``."""

    slug: str
    name: str
    description: str
    purpose: str
    use: str
    build: Callable[..., Json]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def defaults(self) -> dict[str, float]:
        return {name: parameter.default for name, parameter in self.parameters.items()}

    def rule(self, **chosen: float) -> Json:
        """Return the rule with these parameters, and defaults for the others. Raises ParameterError."""
        for name in chosen:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise ParameterError(f"{name}: is not a parameter of {self.slug} (it has: {known})")
        values = self.defaults() | chosen
        return self.build(**{name: self.parameters[name].read(name, value) for name, value in values.items()})


def _days(days: float) -> str:
    return f"{days:g}d"


NO_ORDER_RULE: Json = {"order_count": {"is": 0}}
ONE_ORDER_RULE: Json = {"order_count": {"is": 1}}
KNOWN_RULE: Json = {"known": {"is": True}}
DAYS_30 = Parameter(30, "How many days count as recent.")


def _repeat(days: float, orders: float) -> Json:
    return {"order_count": {"at_least": orders, "during": {"within_last": _days(days)}}}


def _hero(orders: float, days: float, active_days: float) -> Json:
    return {
        "all": [
            {"order_count": {"at_least": orders, "during": {"within_last": _days(days)}}},
            {"average_order_value": {"above": "average"}},
            {"last_activity": {"within_last": _days(active_days)}},
        ]
    }


def _occasional(orders: float, days: float, share: float) -> Json:
    period = {"within_last": _days(days)}
    return {
        "all": [
            {"order_count": {"between": [1, orders], "during": period}},
            {"discounted_order_share": {"at_least": share, "during": period}},
        ]
    }


TEMPLATES: Mapping[str, Template] = {
    template.slug: template
    for template in (
        Template(
            "lead",
            "Leads",
            "Known customers without an order.",
            "win",
            "Welcome them by e-mail and give them a reason for a first order.",
            lambda: {"all": [KNOWN_RULE, NO_ORDER_RULE]},
        ),
        Template(
            "newsletter-subscribers",
            "Newsletter subscribers",
            "Have subscribed to the newsletter.",
            "win",
            "The customers you may write to: the audience of any campaign.",
            lambda: {"newsletter": {"is": "subscribed"}},
        ),
        Template(
            "first-order",
            "First order",
            "Have ordered exactly once.",
            "grow",
            "Thank them, and show products that go well with their order.",
            lambda: ONE_ORDER_RULE,
        ),
        Template(
            "repeat",
            "Repeat buyers",
            "Have ordered several times recently.",
            "keep",
            "Offer them a loyalty programme while they buy often.",
            _repeat,
            {"days": DAYS_30, "orders": Parameter(2, "Minimum number of orders.", maximum=1000)},
        ),
        Template(
            "hero",
            "Heroes",
            "Order often, spend more per order than average, and are active.",
            "keep",
            "Treat them as your best customers: early access, personal thanks.",
            _hero,
            {
                "orders": Parameter(4, "Minimum number of orders.", maximum=1000),
                "days": Parameter(365, "Number of days in which orders count."),
                "active_days": Parameter(30, "Number of days since the last activity, at most."),
            },
        ),
        Template(
            "occasional",
            "Occasional buyers",
            "Order rarely, and mostly with a discount.",
            "grow",
            "Tell them about offers, and save discounts for others.",
            _occasional,
            {
                "orders": Parameter(3, "Maximum number of orders.", maximum=1000),
                "days": Parameter(365, "Number of days in which orders count."),
                "share": Parameter(
                    0.5,
                    "Minimum share of discounted orders, from 0 to 1.",
                    minimum=0,
                    maximum=1,
                    is_whole=False,
                ),
            },
        ),
        Template(
            "waiting",
            "Waiting with a full cart",
            "Have put something into the cart recently and not ordered since.",
            "win",
            "Remind them of their cart before they forget it.",
            lambda days: {"open_cart": {"within_last": _days(days)}},
            {"days": Parameter(7, "Number of days after which a cart is too old.")},
        ),
        Template(
            "lost",
            "Lost",
            "Have not been active for a long time.",
            "return",
            "Give them one last good reason to come back, and leave them out of expensive ads.",
            lambda days: {"last_activity": {"not_within_last": _days(days)}},
            {"days": Parameter(90, "Number of days without activity.")},
        ),
        Template(
            "anonymous",
            "Anonymous visitors",
            "Visitors without an e-mail address or a phone number.",
            "win",
            "Invite them to the newsletter, and show popular products.",
            lambda: {"known": {"is": False}},
        ),
        Template(
            "new-non-buyers",
            "New non-buyers",
            "Known customers who are new and have not ordered.",
            "win",
            "Send a welcome series while they still remember your shop.",
            lambda days: {"all": [KNOWN_RULE, {"first_seen": {"within_last": _days(days)}}, NO_ORDER_RULE]},
            {"days": DAYS_30},
        ),
        Template(
            "first-time-buyers",
            "First-time buyers",
            "Have ordered exactly once, and recently.",
            "grow",
            "Make the second order easy, with advice, matching products and a thank-you.",
            lambda days: {"all": [ONE_ORDER_RULE, {"last_order": {"within_last": _days(days)}}]},
            {"days": DAYS_30},
        ),
        Template(
            "two-time-buyers",
            "Two-time buyers",
            "Have ordered exactly twice, the second time recently.",
            "grow",
            "A third order makes a habit. Follow up within days.",
            lambda days: {"all": [{"order_count": {"is": 2}}, {"last_order": {"within_last": _days(days)}}]},
            {"days": Parameter(7, "Maximum number of days since the last order.")},
        ),
        Template(
            "one-time-lapsed",
            "One-time buyers, lapsed",
            "Have ordered once and not come back.",
            "return",
            "Ask what went wrong, and offer a new start.",
            lambda days: {"all": [ONE_ORDER_RULE, {"last_order": {"not_within_last": _days(days)}}]},
            {"days": Parameter(30, "Minimum number of days since the order.")},
        ),
        Template(
            "repeat-lapsed",
            "Repeat buyers, lapsed",
            "Have ordered several times, but not for a while.",
            "return",
            "They liked your shop once. Show them what is new.",
            lambda days: {
                "all": [{"order_count": {"at_least": 2}}, {"last_order": {"not_within_last": _days(days)}}]
            },
            {"days": Parameter(60, "Minimum number of days since the last order.")},
        ),
        Template(
            "brand-lovers",
            "Brand lovers",
            "Have spent more than the average buyer.",
            "keep",
            "Invite them to write reviews, recommend products, and try new ones first.",
            lambda: {"total_spent": {"above": "average"}},
        ),
        Template(
            "browsers",
            "Browsers",
            "Have visited at least once and never ordered.",
            "win",
            "Show them again what they looked at. They already know your shop.",
            lambda: {"all": [{"session_count": {"at_least": 1}}, NO_ORDER_RULE]},
        ),
    )
}
