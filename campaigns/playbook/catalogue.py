"""The playbook: ready-made campaigns for each ready-to-use segment.

Their messages are in ``messages/<tactic>-<number>.toml``, complete enough to be sent unchanged.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from django.contrib.auth.models import User

from campaigns.channels.audience import Audience
from campaigns.channels.email import Email
from campaigns.channels.on_site import OnSite
from segments import segment_store
from segments.future_segments import LEFT
from segments.models import SLUG_LENGTH, Segment

from .tactic import (
    IMMEDIATELY,
    NO_QUIET_HOURS,
    Question,
    StepContent,
    Tactic,
    days,
    email_steps,
    hours,
    on_date,
    on_entry,
    on_site_steps,
    repeated,
)

__all__ = ["TACTICS", "StepContent", "Tactic", "segment_for_tactic", "tactics_before", "tactics_for_segment"]


def tactics_for_segment(segment: Segment) -> list[Tactic]:
    """Return the tactics for a segment: first those made for its template, then those that suit any segment."""
    own = [tactic for tactic in TACTICS.values() if segment.template and segment.template in tactic.segments]
    return own + [tactic for tactic in TACTICS.values() if not tactic.segments]


def tactics_before(segment: Segment, kind: str) -> list[Tactic]:
    """Return the tactics that can start before customers enter or leave a segment: ``kind`` is that of the change.

    Before customers leave a segment, every tactic fits that wins customers back. Before they enter one, it has to be
    made for the segment.
    """
    return [
        tactic
        for tactic in TACTICS.values()
        if tactic.wins_back and (kind == LEFT or (segment.template and segment.template in tactic.segments))
    ]


def segment_for_tactic(tactic: Tactic, segment: Segment, by: User | None = None) -> Segment:
    """Return the segment for a tactic's campaign: ``segment`` itself, or a narrower one that is created if missing."""
    if tactic.narrowed_by is None:
        return segment
    rule = {"all": [{"in_segment": {"is": segment.slug}}, tactic.narrowed_by]}
    for slug in _candidate_slugs(segment, tactic):
        existing = Segment.objects.filter(slug=slug).first()
        if existing is None:
            narrowed = Segment(
                slug=slug,
                name=f"{segment.name}: {tactic.name}"[:200],
                description=f"For the campaign “{tactic.name}”.",
                rule=rule,
            )
            return segment_store.save_segment(narrowed, by=by)
        if existing.rule == rule:
            return existing
    raise AssertionError("unreachable: slugs do not end")


def _candidate_slugs(segment: Segment, tactic: Tactic) -> Iterator[str]:
    number = 1
    while True:
        end = f"-{tactic.slug}" + (f"-{number}" if number > 1 else "")
        yield segment.slug[: SLUG_LENGTH - len(end)] + end
        number += 1


# -- The tactics

EACH_YEAR: Final = days(300)
CODES: Final = "a pool of coupon codes that the shop accepts"
NEWS: Final = Question("news", "Your news", "A few sentences, printed in the message as you write them.")
ABOUT: Final = Question(
    "about", "Who you are, and what people can count on", "A few sentences. Promise only what you keep."
)
BENEFITS: Final = Question("benefits", "What members get", "One per line. Promise only what the shop keeps.")

_RECENT_BUYERS: Final = ("first-time-buyers", "two-time-buyers")
_LAPSED: Final = ("one-time-lapsed", "repeat-lapsed")

_TACTICS: Final = (
    Tactic(
        "first-order-discount", "Discount on the first order",
        "Welcomes people who have not ordered yet with a personal code, and reminds them once.",
        ("lead", "new-non-buyers", "browsers"), Email.key, (CODES,),
        on_entry(ends_with_order=True),
        email_steps("first-order-discount", hours(2), days(5)),
    ),
    Tactic(
        "viewed-and-new", "Newsletter with what they viewed",
        "Every two weeks, shows products they viewed and did not buy, and others they may like.",
        ("lead", "browsers"), Email.key, (),
        repeated(days(14)),
        email_steps("viewed-and-new", IMMEDIATELY),
    ),
    Tactic(
        "remarketing", "Remarketing on Facebook and Google",
        "Exports those who agreed to ads for Meta and Google, so that ads remind them of the shop.",
        ("lead", "anonymous", "browsers"), Audience.key, ("an account for ads at Meta or Google",), {}, (),
    ),
    Tactic(
        "shop-news", "News and previews of promotions",
        "Every two weeks, sends your news and the shop's new products.",
        ("newsletter-subscribers", "occasional"), Email.key, ("your news, rewritten before each date",),
        repeated(days(14)),
        email_steps("shop-news", IMMEDIATELY),
        questions=(NEWS,),
    ),
    Tactic(
        "useful-content", "Useful and entertaining content",
        "Every month, sends useful advice and sells nothing.",
        ("newsletter-subscribers", "repeat"), Email.key, ("advice that fits what you sell; this text fits most shops",),
        repeated(days(30)),
        email_steps("useful-content", IMMEDIATELY),
    ),
    Tactic(
        "recommended-for-you", "Recommended from their purchases",
        "Every three weeks, recommends products that go well with their purchases.",
        ("newsletter-subscribers",), Email.key, (),
        repeated(days(21)),
        email_steps("recommended-for-you", IMMEDIATELY),
    ),
    Tactic(
        "subscribers-offer", "Offer only for subscribers",
        "Sends each subscriber a personal code that is published nowhere else, at a date you choose.",
        ("newsletter-subscribers",), Email.key, (CODES,),
        on_date(),
        email_steps("subscribers-offer", IMMEDIATELY),
    ),
    Tactic(
        "goes-well-with", "Cross-selling of what goes with their order",
        "Three days after an order, recommends products that others bought together with it.",
        ("first-order", "occasional"), Email.key, (),
        on_entry(days(90)),
        email_steps("goes-well-with", days(3)),
    ),
    Tactic(
        "review-request", "Request for a review, with a coupon",
        "Ten days after the first order, asks for a review and gives a code for the second order.",
        ("first-order",), Email.key, (CODES,),
        on_entry(),
        email_steps("review-request", days(10)),
        questions=(Question("page", "The page where people write reviews", is_url=True),),
    ),
    Tactic(
        "news-of-what-they-like", "News of the brand or category they bought",
        "Every three weeks, shows new products, and products of the brands and categories they bought.",
        ("first-order",), Email.key, (),
        repeated(days(21)),
        email_steps("news-of-what-they-like", IMMEDIATELY),
    ),
    Tactic(
        "who-we-are", "The company and its services",
        "One day after the first order, introduces the people behind the shop and their services.",
        ("first-order",), Email.key, (),
        on_entry(),
        email_steps("who-we-are", days(1)),
        questions=(ABOUT,),
    ),
    Tactic(
        "loyalty-programme", "Loyalty programme",
        "Invites customers who buy often to collect points.",
        ("repeat",), Email.key, ("a loyalty programme",),
        on_entry(EACH_YEAR),
        email_steps("loyalty-programme", days(1)),
        questions=(BENEFITS, Question("page", "The page where people join", is_url=True)),
    ),
    Tactic(
        "personal-offer", "Personal offer that nobody else can use",
        "Sends a personal code with recommended products, at a date you choose.",
        ("repeat", "hero"), Email.key, (CODES,),
        on_date(),
        email_steps("personal-offer", IMMEDIATELY),
    ),
    Tactic(
        "best-customers-club", "Exclusive loyalty programme",
        "Tells customers who become heroes what the shop offers its best customers.",
        ("hero",), Email.key, (),
        on_entry(EACH_YEAR),
        email_steps("best-customers-club", days(1)),
        questions=(
            Question("benefits", "What your best customers get", "One per line. Promise only what the shop keeps."),
        ),
    ),
    Tactic(
        "free-shipping", "Free shipping without a minimum",
        "Gives a code for free shipping of an order of any size, as soon as they have earned it.",
        ("hero", "brand-lovers"), Email.key, ("a pool of codes for free shipping that the shop accepts",),
        on_entry(),
        email_steps("free-shipping", days(2)),
        questions=(Question("terms", "What the code offers", "Such as: any order within Germany is shipped free."),),
    ),
    Tactic(
        "early-access", "Early access and previews",
        "Tells the best customers first about a promotion, a sale or products, at a date you choose.",
        ("hero", "brand-lovers"), Email.key, ("a date some days before the public announcement",),
        on_date(),
        email_steps("early-access", IMMEDIATELY),
        questions=(Question("offer", "What they see first, and when it is announced to everybody"),),
    ),
    Tactic(
        "birthday-gift", "Birthday gift",
        "Sends a code as a present on each birthday, a new one every year.",
        ("hero", "brand-lovers"), Email.key, (CODES, "birth dates"),
        on_entry(EACH_YEAR),
        # They enter at midnight, one day before their birthday.
        email_steps("birthday-gift", days(1)),
        narrowed_by={"birthday": {"within_next": "1d"}},
    ),
    Tactic(
        "sale-announcement", "Promotions and discounted products",
        "Announces a sale to customers who buy when there is an offer, at a date you choose.",
        ("occasional",), Email.key, ("the date of your sale",),
        on_date(),
        email_steps("sale-announcement", IMMEDIATELY),
        questions=(Question("offer", "What the sale offers"),
              Question("until", "The last day of the sale", "Such as: Sunday, 4 May")),
    ),
    Tactic(
        "cart-recovery", "Recovery of the abandoned cart",
        "Reminds of the cart after an hour, a day and three days, until they order or empty the cart.",
        ("waiting",), Email.key, (),
        on_entry(days(7), ends_with_order=True),
        email_steps("cart-recovery", hours(1), hours(23), hours(48)),
    ),
    Tactic(
        "cart-on-site", "Reminder on the shop's pages",
        "Shows visitors who return to the shop what is in their cart.",
        ("waiting",), OnSite.key, ("the snippet for messages on the shop's pages",),
        on_entry(days(7), ends_with_order=True, **NO_QUIET_HOURS),
        on_site_steps("cart-on-site"),
    ),
    Tactic(
        "cart-discount", "Special discount on the cart",
        "Two days after, sends a code that makes the decision easier. Only once, so that nobody waits for it.",
        ("waiting",), Email.key, (CODES,),
        on_entry(ends_with_order=True),
        email_steps("cart-discount", days(2)),
    ),
    Tactic(
        "goes-with-the-cart", "Products that go with the cart",
        "Five hours after, recommends products that others bought together with those in the cart.",
        ("waiting",), Email.key, (),
        on_entry(days(30), ends_with_order=True),
        email_steps("goes-with-the-cart", hours(5)),
    ),
    Tactic(
        "what-is-new-since", "News of the categories and brands they bought",
        "Shows lost customers new products, and products similar to those they bought.",
        ("lost",), Email.key, (),
        on_entry(EACH_YEAR, ends_with_order=True),
        email_steps("what-is-new-since", days(1)),
        wins_back=True,
    ),
    Tactic(
        "survey", "Survey",
        "Asks lost customers what could be better. They answer by replying.",
        ("lost",), Email.key, ("somebody who reads the answers",),
        on_entry(EACH_YEAR, ends_with_order=True),
        email_steps("survey", days(14)),
    ),
    Tactic(
        "one-time-promotion", "One-time promotion",
        "Gives lost customers a good reason to return: a code that expires.",
        ("lost",), Email.key, ("a pool of coupon codes that the shop accepts, with a last day",),
        on_entry(ends_with_order=True),
        email_steps("one-time-promotion", days(30)),
        has_last_day=True,
        wins_back=True,
    ),
    Tactic(
        "ask-for-address", "Lead generation: ask for an address",
        "Asks visitors on the shop's pages for their e-mail address.",
        ("anonymous",), OnSite.key,
        ("the snippet for messages on the shop's pages", "a page of the shop with the sign-up form"),
        on_entry(days(30), **NO_QUIET_HOURS),
        on_site_steps("ask-for-address", url="{{ answers.page }}"),
        questions=(
            Question(
                "page", "The page with the sign-up form",
                "Tracking sources explains, on the page of a browser's source, how to add the form to a page.",
                is_url=True,
            ),
        ),
    ),
    Tactic(
        "welcome-series", "Welcome series",
        "Sends three e-mails in six days: welcome, who we are, products they viewed. Ends with the first order.",
        ("new-non-buyers",), Email.key, (),
        on_entry(ends_with_order=True),
        email_steps("welcome-series", hours(1), days(2), days(4)),
        questions=(ABOUT,),
    ),
    Tactic(
        "how-to-choose", "Educational content",
        "Ten days after, sends questions that help to choose, and offers advice.",
        ("new-non-buyers",), Email.key, ("somebody who answers questions",),
        on_entry(ends_with_order=True),
        email_steps("how-to-choose", days(10)),
    ),
    Tactic(
        "next-order", "Second and third order: what completes it",
        "Three days after the order, recommends products that go well with it.",
        _RECENT_BUYERS, Email.key, (),
        on_entry(days(30), ends_with_order=True),
        email_steps("next-order", days(3)),
    ),
    Tactic(
        "subscription", "Subscription",
        "Five days after the order, offers to send the same products regularly.",
        _RECENT_BUYERS, Email.key, ("products that are sold by subscription",),
        on_entry(days(180), ends_with_order=True),
        email_steps("subscription", days(5)),
        questions=(
            Question("terms", "How a subscription works", "How often you send it, how to cancel, when people pay."),
            Question("page", "The page where people set it up", is_url=True),
        ),
    ),
    Tactic(
        "we-miss-you", "Reminder",
        "Reminds customers of their last order when the next one is overdue.",
        _LAPSED, Email.key, (),
        on_entry(days(90), ends_with_order=True),
        email_steps("we-miss-you", days(1)),
        wins_back=True,
    ),
    Tactic(
        "bundle-offer", "Bundle",
        "A week later, recommends products that are bought together.",
        _LAPSED, Email.key, ("sets, or a discount on several products at once",),
        on_entry(days(90), ends_with_order=True),
        email_steps("bundle-offer", days(7)),
        questions=(Question("offer", "What customers get when they buy several products"),),
        wins_back=True,
    ),
    Tactic(
        "exclusive-products", "Exclusive products",
        "Two weeks later, shows products that you choose.",
        _LAPSED, Email.key, ("products that are rare, or not sold to everybody",),
        on_entry(days(180), ends_with_order=True),
        email_steps("exclusive-products", days(14)),
        questions=(Question("products", "What is special about these products, and where to find them"),),
        wins_back=True,
    ),
    Tactic(
        "win-back", "Win-back offer",
        "Three weeks later, sends a personal code, and one reminder.",
        _LAPSED, Email.key, (CODES,),
        on_entry(ends_with_order=True),
        email_steps("win-back", days(21), days(5)),
        wins_back=True,
    ),
    Tactic(
        "priority-support", "Preferential support",
        "Tells customers who spend more than average how to reach you quickly.",
        ("brand-lovers",), Email.key, ("somebody who answers them first",),
        on_entry(EACH_YEAR),
        email_steps("priority-support", days(1)),
        questions=(Question("way", "How they reach you, and how quickly you answer"),),
    ),
    Tactic(
        "codes-for-later", "Codes for future orders",
        "Sends a code to keep for a later order, at a date you choose.",
        ("brand-lovers",), Email.key, (CODES,),
        on_date(),
        email_steps("codes-for-later", IMMEDIATELY),
    ),
    Tactic(
        "birthday-letter", "Birthday letter",
        "Sends good wishes on their birthday, and sells nothing.",
        ("brand-lovers",), Email.key, ("birth dates",),
        on_entry(EACH_YEAR),
        email_steps("birthday-letter", days(1)),
        narrowed_by={"birthday": {"within_next": "1d"}},
    ),
    Tactic(
        "announcement", "Announcement",
        "Sends one message to all members, at a date you choose.",
        (), Email.key, (),
        on_date(),
        email_steps("announcement", IMMEDIATELY),
        questions=(NEWS,),
    ),
    Tactic(
        "lookalikes", "Audience for ads",
        "Exports those who agreed to ads for Meta and Google: to reach them, exclude them or find similar people.",
        (), Audience.key, ("an account for ads at Meta or Google",), {}, (),
    ),
)  # fmt: skip

TACTICS: Final[Mapping[str, Tactic]] = {tactic.slug: tactic for tactic in _TACTICS}
