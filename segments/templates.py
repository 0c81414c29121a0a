"""The ready-to-use segments: sixteen rules with parameters, each written with the lifecycle filters alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

Json = dict[str, Any]


class ParameterError(ValueError):
    """A template's parameter that cannot be taken; the message says what to change."""


PURPOSES = {
    "win": "Win first orders",
    "grow": "Turn one order into more",
    "keep": "Keep the best",
    "return": "Win back",
}


@dataclass(frozen=True)
class Parameter:
    """A number that staff may choose, with its bounds."""

    default: float
    help: str
    least: float = 1
    most: float = 3650
    whole: bool = True

    def read(self, name: str, value: Any) -> float:
        """Read a value, or raise ParameterError."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and not isfinite(value))
            or (self.whole and value != int(value))
        ):
            raise ParameterError(f"{name}: expected a {'whole ' if self.whole else ''}number")
        if not self.least <= value <= self.most:
            raise ParameterError(f"{name}: expected a number from {self.least:g} to {self.most:g}")
        return int(value) if self.whole else value


@dataclass(frozen=True)
class Template:
    """A ready-to-use segment: who is in, and what a shop does with them. ``purpose`` is one of ``PURPOSES``."""

    slug: str
    name: str
    description: str
    purpose: str
    use: str
    build: Callable[..., Json]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def defaults(self) -> dict[str, float]:
        """Give the default parameters."""
        return {name: parameter.default for name, parameter in self.parameters.items()}

    def rule(self, **chosen: float) -> Json:
        """Give the rule with the chosen parameters, the others at their defaults; raise ParameterError."""
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
            "Known, but without an order yet.",
            "win",
            "Welcome them by e-mail and give a reason for a first order.",
            lambda: {"all": [KNOWN_RULE, NO_ORDER_RULE]},
        ),
        Template(
            "newsletter-subscribers",
            "Newsletter subscribers",
            "Agreed to receive the newsletter.",
            "win",
            "Those whom the shop may write to: the audience of any campaign.",
            lambda: {"newsletter": {"is": "subscribed"}},
        ),
        Template(
            "first-order",
            "First order",
            "Ordered exactly once.",
            "grow",
            "Thank them, and show what goes with what they bought.",
            lambda: ONE_ORDER_RULE,
        ),
        Template(
            "repeat",
            "Repeat buyers",
            "Ordered several times lately.",
            "keep",
            "Offer a loyalty programme while they buy often.",
            _repeat,
            {"days": DAYS_30, "orders": Parameter(2, "How many orders at least.", most=1000)},
        ),
        Template(
            "hero",
            "Heroes",
            "Order often, spend more than average an order, and are active.",
            "keep",
            "Treat them as the best customers they are: early access, personal thanks.",
            _hero,
            {
                "orders": Parameter(4, "How many orders at least.", most=1000),
                "days": Parameter(365, "The days in which the orders count."),
                "active_days": Parameter(30, "Active within how many days."),
            },
        ),
        Template(
            "occasional",
            "Occasional buyers",
            "Order seldom, and mostly at a discount.",
            "grow",
            "Reach them when there is an offer; spare the discount for others.",
            _occasional,
            {
                "orders": Parameter(3, "How many orders at most.", most=1000),
                "days": Parameter(365, "The days in which the orders count."),
                "share": Parameter(
                    0.5, "Share of discounted orders at least, 0 to 1.", least=0, most=1, whole=False
                ),
            },
        ),
        Template(
            "waiting",
            "Waiting with a full cart",
            "Put something in the cart lately and did not order since.",
            "win",
            "Remind them of what is in the cart before they forget.",
            lambda days: {"open_cart": {"within_last": _days(days)}},
            {"days": Parameter(7, "How many days a cart stays interesting.")},
        ),
        Template(
            "lost",
            "Lost",
            "Not seen for a long time.",
            "return",
            "One last, good reason to come back; leave them out of costly ads.",
            lambda days: {"last_activity": {"not_within_last": _days(days)}},
            {"days": Parameter(90, "Days without activity.")},
        ),
        Template(
            "anonymous",
            "Anonymous visitors",
            "Neither an e-mail address nor a phone number is known.",
            "win",
            "Ask for the newsletter, and show what is popular: all one knows is what they do.",
            lambda: {"known": {"is": False}},
        ),
        Template(
            "new-non-buyers",
            "New non-buyers",
            "Known, met lately, without an order yet.",
            "win",
            "A welcome series, while they still remember why they came.",
            lambda days: {"all": [KNOWN_RULE, {"first_seen": {"within_last": _days(days)}}, NO_ORDER_RULE]},
            {"days": DAYS_30},
        ),
        Template(
            "first-time-buyers",
            "First-time buyers",
            "Ordered exactly once, and lately.",
            "grow",
            "Make the second order easy: advice, matching products, a thank-you.",
            lambda days: {"all": [ONE_ORDER_RULE, {"last_order": {"within_last": _days(days)}}]},
            {"days": DAYS_30},
        ),
        Template(
            "two-time-buyers",
            "Two-time buyers",
            "Ordered exactly twice, the second time lately.",
            "grow",
            "The third order makes a habit: follow up within days.",
            lambda days: {"all": [{"order_count": {"is": 2}}, {"last_order": {"within_last": _days(days)}}]},
            {"days": Parameter(7, "Days since the last order at most.")},
        ),
        Template(
            "one-time-lapsed",
            "One-time buyers, lapsed",
            "Ordered once and did not come back.",
            "return",
            "Ask what went wrong, and offer a fresh start.",
            lambda days: {"all": [ONE_ORDER_RULE, {"last_order": {"not_within_last": _days(days)}}]},
            {"days": Parameter(30, "Days since the order.")},
        ),
        Template(
            "repeat-lapsed",
            "Repeat buyers, lapsed",
            "Ordered several times, but not for a while.",
            "return",
            "They liked it once: show what is new since then.",
            lambda days: {
                "all": [{"order_count": {"at_least": 2}}, {"last_order": {"not_within_last": _days(days)}}]
            },
            {"days": Parameter(60, "Days since the last order.")},
        ),
        Template(
            "brand-lovers",
            "Brand lovers",
            "Spent more than the average buyer.",
            "keep",
            "Invite them to review, to recommend, to try first.",
            lambda: {"total_spent": {"above": "average"}},
        ),
        Template(
            "browsers",
            "Browsers",
            "Came by at least once and never ordered.",
            "win",
            "Show again what they looked at; they know the shop already.",
            lambda: {"all": [{"session_count": {"at_least": 1}}, NO_ORDER_RULE]},
        ),
    )
}
