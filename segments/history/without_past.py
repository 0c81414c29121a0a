"""What has no past in a rule: it counts on every day of a history as it is today."""

from collections.abc import Iterator
from typing import Final

from segments.evaluation.context import shop_zone
from segments.rules import Condition, Rule, placeholder_context
from segments.rules.conditions.segments import InSegment, SegmentMembers

WITHOUT_PAST: Final = {
    **dict.fromkeys(("known", "contact"), "contact data"),
    **dict.fromkeys(("newsletter", "subscribed_at"), "consent to the newsletter"),
    "country": "countries",
    "language": "languages",
    "city": "cities",
    "source": "sources",
    "attribute": "attributes",
    "birthday": "birthdays",
    **dict.fromkeys(
        (
            *("first_seen", "last_activity", "session_count", "open_cart", "event_count", "viewed"),
            *("order_count", "first_order", "last_order", "days_between_orders", "discounted_order_share"),
            *("bought", "refund_count", "total_spent", "average_order_value", "rfm"),
            *("random_bucket", "ahead", "in_segment"),
        ),
        "",
    ),
}
"""By filter; "" for a filter that asks the records, which have a past. A test fails for a filter that is missing."""


def names_without_past(rule: Rule, names: dict[str, str]) -> list[str]:
    """Return what has no past in a rule that is expanded for the past. ``names`` are those of segments, by slug."""
    found = (_name(part, names) for part in _parts(rule))
    return list(dict.fromkeys(name for name in found if name))


def _parts(rule: Rule) -> Iterator[Rule]:
    yield rule
    for part, _ in rule.parts(placeholder_context(shop_zone())):
        yield from _parts(part)


def _name(rule: Rule, names: dict[str, str]) -> str:
    match rule:
        case SegmentMembers(slug=slug, rule=None):
            return f"the members of “{names.get(slug, slug)}”"
        case InSegment(is_=slug):
            return f"the members of “{names.get(slug, slug)}” and when they entered"
        case Condition():
            return WITHOUT_PAST[rule.name]
        case _:
            return ""
