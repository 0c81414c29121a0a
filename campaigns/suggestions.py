"""What a shop could do today, computed from facts: segments with people in them, and no campaign for them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Count, Q, Sum

from core.db import execution, time_limits
from core.durations import span_text
from core.values.decimals import from_units
from customers.models import Customer, Facts, Suppression
from segments import future_segments
from segments.evaluation import counting
from segments.evaluation.matching import customers_matching
from segments.future_segments import ENTERED, USUAL_SPAN, ComingChange
from segments.models import Membership, Segment
from segments.rules import parse

from .channels.email import Email
from .models import Campaign
from .playbook.catalogue import TACTICS, Tactic

_MEMBERS: Final = Membership._meta.db_table
_CUSTOMERS: Final = Customer._meta.db_table
_FACTS: Final = Facts._meta.db_table
_SUPPRESSIONS: Final = Suppression._meta.db_table


@dataclass(frozen=True)
class Opportunity:
    """A tactic for the members of a ready-to-use segment that has no campaign.

    ``people`` is what follows their number, in the singular and the plural: a noun and a verb. ``sentence`` goes on and
    may name ``{worth}``, the sum of the fact ``worth``. ``without_worth`` takes its place where the sum is zero. With
    ``before``, the people are those who would become members within this time if nothing more is recorded.
    """

    template: str
    tactic: str
    people: tuple[str, str]
    sentence: str
    button: str
    worth: str = ""
    without_worth: str = ""
    before: timedelta | None = None


OPPORTUNITIES: Final = (
    Opportunity(
        "waiting", "cart-recovery", ("full cart is", "full carts are"),
        "worth {worth}, and no campaign reminds of them.",
        "Start cart recovery", "cart_value", "waiting, and no campaign reminds of them.",
    ),
    Opportunity(
        "lost", "what-is-new-since", ("customer will", "customers will"),
        "become lost within 7 days if they do nothing. They have spent {worth}, and no campaign asks them back"
        " before that.",
        "Win them back", "total_spent", "become lost within 7 days if they do nothing, and no campaign asks them back"
        " before that.", USUAL_SPAN,
    ),
    Opportunity(
        "repeat-lapsed", "we-miss-you", ("repeat buyer has", "repeat buyers have"),
        "not ordered for a while. They have spent {worth}, and no campaign asks them back.",
        "Win them back", "total_spent",
    ),
    Opportunity(
        "new-non-buyers", "welcome-series", ("new contact has", "new contacts have"),
        "not ordered yet, and no campaign welcomes them.",
        "Welcome them",
    ),
    Opportunity(
        "first-time-buyers", "next-order", ("customer has", "customers have"),
        "just ordered for the first time, and no campaign leads to a second order.",
        "Start a follow-up",
    ),
    Opportunity(
        "hero", "best-customers-club", ("hero has", "heroes have"),
        "spent {worth}, and no campaign thanks them.",
        "Thank them", "total_spent",
    ),
    Opportunity(
        "one-time-lapsed", "we-miss-you", ("customer has", "customers have"),
        "ordered once and not come back, and no campaign invites them.",
        "Invite them",
    ),
    Opportunity(
        "lost", "what-is-new-since", ("lost customer has", "lost customers have"),
        "spent {worth} before, and no campaign shows them what is new.",
        "Show what is new", "total_spent",
    ),
    Opportunity(
        "anonymous", "ask-for-address", ("visitor has", "visitors have"),
        "left no address, and no message on the shop's pages asks for one.",
        "Ask for addresses",
    ),
)  # fmt: skip
"""The most urgent first."""

MAX_CART: Final = 10**12
"""What counts of a cart, in ten-thousandths: anybody can report a cart, and sums must fit 64 bits."""


@dataclass(frozen=True)
class Suggestion:
    """An opportunity of the shop. ``reachable`` is how many can get an e-mail, ``draft`` the key of a draft for it.

    ``change`` is the one before which the campaign starts, and ``members_of`` the segment of the people, if it exists.
    """

    opportunity: Opportunity
    segment: Segment
    people: int
    reachable: int
    worth: Decimal
    draft: int | None
    change: ComingChange | None = None
    members_of: Segment | None = None

    @property
    def tactic(self) -> Tactic:
        return TACTICS[self.opportunity.tactic]

    @property
    def before(self) -> str:
        """Return how long before the change the campaign starts, as a form sends it."""
        return span_text(self.change.span) if self.change else ""

    @property
    def people_text(self) -> str:
        """Return “96 full carts”."""
        return f"{self.people:,} {self._people.rpartition(' ')[0]}"

    @property
    def verb(self) -> str:
        return self._people.rpartition(" ")[2]

    @property
    def _people(self) -> str:
        singular, plural = self.opportunity.people
        return singular if self.people == 1 else plural

    @property
    def before_worth(self) -> str:
        return self._sentence.partition("{worth}")[0]

    @property
    def after_worth(self) -> str:
        """Return the rest of the sentence after the amount; empty if it names none."""
        return self._sentence.partition("{worth}")[2]

    @property
    def _sentence(self) -> str:
        return (not self.worth and self.opportunity.without_worth) or self.opportunity.sentence

    @property
    def is_by_email(self) -> bool:
        return self.tactic.channel == Email.key


def find_suggestions(segments: Iterable[Segment], count: int, seconds: float) -> list[Suggestion]:
    """Return the most urgent suggestions: with people to reach and without a campaign. Raises StatementTimeout."""
    taken = set(
        Campaign.objects.filter(state__in=(Campaign.State.RUNNING, Campaign.State.PAUSED)).values_list(
            "segment_id", flat=True
        )
    )
    by_template: dict[str, Segment] = {}
    for each in sorted(segments, key=lambda each: -each.pk):
        by_template[each.template] = each
    open_opportunities = [
        one
        for opportunity in OPPORTUNITIES
        if (segment := by_template.get(opportunity.template))
        and (one := _open_opportunity(opportunity, segment))
        and (one.members_of is None or one.members_of.pk not in taken)
    ]
    with time_limits.time_limit(seconds):
        sums = _sums_of_members([one.members_of for one in open_opportunities if one.members_of])
    found = _suggestions(open_opportunities, sums, _drafts(), seconds)
    return [one for one in found if one.reachable or not one.is_by_email][:count]


@dataclass(frozen=True)
class _Open:
    """An opportunity of a segment. ``members_of`` has the people; None if they have to be counted by a rule."""

    opportunity: Opportunity
    segment: Segment
    change: ComingChange | None
    members_of: Segment | None


def _open_opportunity(opportunity: Opportunity, segment: Segment) -> _Open | None:
    if opportunity.before is None:
        return _Open(opportunity, segment, None, segment) if segment.size else None
    change = ComingChange(segment.slug, ENTERED, opportunity.before)
    if not segment.is_dynamic or not segment.is_active or segment.last_error:
        return None  # answers by its stored members, so nobody is about to enter
    return _Open(opportunity, segment, change, future_segments.find_segment(change))


def _suggestions(
    open_opportunities: Sequence[_Open],
    sums: Mapping[int, Mapping[str, int]],
    drafts: Mapping[tuple[int, str], int],
    seconds: float,
) -> list[Suggestion]:
    found = []
    for one in open_opportunities:
        has_members = one.members_of is not None and one.members_of.refreshed_at is not None
        key = one.members_of.pk if one.members_of else 0
        sum_of = sums.get(key) if has_members else None
        if one.change and not has_members:
            with suppress(time_limits.StatementTimeout), time_limits.time_limit(seconds):
                sum_of = _sums_of_coming(one.change)
        if not sum_of or not sum_of["people"]:
            continue
        worth = from_units(sum_of.get(one.opportunity.worth, 0))
        found.append(
            Suggestion(
                one.opportunity,
                one.segment,
                sum_of["people"],
                sum_of["reachable"],
                worth,
                drafts.get((key, one.opportunity.tactic)),
                one.change,
                one.members_of if has_members else None,
            )
        )
    return found


def _drafts() -> dict[tuple[int, str], int]:
    """Return the keys of the drafts by segment and tactic."""
    drafts = Campaign.objects.filter(state=Campaign.State.DRAFT).order_by("pk")
    return {
        (segment, tactic): key for key, segment, tactic in drafts.values_list("pk", "segment_id", "tactic")
    }


def _sums_of_coming(change: ComingChange) -> Mapping[str, int]:
    """Return what ``_sums_of_members`` returns of one segment, for the customers for whom a change would happen."""
    customers = customers_matching(parse(change.rule()), counting.stored_context())
    subscribed = Q(newsletter=Customer.Newsletter.SUBSCRIBED) & ~Q(email="")
    sums: dict[str, int] = customers.aggregate(
        people=Count("pk"), with_consent=Count("pk", filter=subscribed), total_spent=Sum("facts__total_spent")
    )
    suppressed = Suppression.objects.exclude(address=None).values("address")
    held_back = customers.filter(subscribed, email_folded__in=suppressed).count()
    return {
        "people": sums["people"],
        "reachable": sums["with_consent"] - held_back,
        "total_spent": sums["total_spent"] or 0,
    }


def _sums_of_members(segments: Sequence[Segment]) -> dict[int, Mapping[str, int]]:
    """Return how many members segments have, how many can get an e-mail, and the sums of their facts."""
    if not segments:
        return {}
    keys = ", ".join(str(segment.pk) for segment in segments)
    subscribed = f"c.newsletter = '{Customer.Newsletter.SUBSCRIBED}' AND c.email <> ''"
    members = f"{_MEMBERS} m JOIN {_CUSTOMERS} c ON c.id = m.customer_id"
    rows = execution.fetch_all(
        f"""SELECT m.segment_id, count(*), count(*) FILTER (WHERE {subscribed}),
                CAST(sum(CASE WHEN f.cart_value > {MAX_CART} THEN {MAX_CART} WHEN f.cart_value < 0 THEN 0
                    ELSE f.cart_value END) AS bigint),
                CAST(sum(f.total_spent) AS bigint)
            FROM {members} JOIN {_FACTS} f ON f.customer_id = m.customer_id
            WHERE m.segment_id IN ({keys})
            GROUP BY m.segment_id"""
    )
    suppressed: dict[int, int] = dict(
        execution.fetch_all(
            f"""SELECT m.segment_id, count(*) FROM {members}
                WHERE m.segment_id IN ({keys}) AND {subscribed}
                    AND c.email_folded IN (SELECT address FROM {_SUPPRESSIONS} WHERE address IS NOT NULL)
                GROUP BY m.segment_id"""
        )
    )
    return {
        segment: {
            "people": people,
            "reachable": with_consent - suppressed.get(segment, 0),
            "cart_value": carts,
            "total_spent": spent,
        }
        for segment, people, with_consent, carts, spent in rows
    }
