"""Filters on profile data: contact data, consent, places, attributes."""

from datetime import date, timedelta
from typing import Any

from babel import Locale
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.lookups import Exact

from core.db.sql import Query
from core.durations import duration_text
from core.values import sortable_values
from customers.consent.states import CONFIRMATION_PERIOD
from customers.models import Customer, DatedAttribute
from segments.rules import values
from segments.rules.base import Condition, Exposure, Preset, condition
from segments.rules.birthdays import (
    DAY,
    NO_DAYS,
    birthday_borders,
    birthday_q,
    birthday_ranges,
    column_birthday_ranges,
)
from segments.rules.context import EvaluationContext
from segments.rules.declarations import inline_param, required
from segments.rules.late_params import ColumnInstant, LateParam
from segments.rules.lookups import not_true_q
from segments.rules.measures import MomentFact
from segments.rules.operators import Moment, Number
from segments.rules.parameters import FLAG, NAME, Scalar, comparison_phrase, free_value_expression
from segments.rules.text_operators import List, Text
from segments.rules.time_changes import (
    NO_DELAY,
    borders_of_rows,
    customer_keys,
    first_seen_in_window,
    records_in_window,
)

ENGLISH = Locale("en")
PENDING, PENDING_PERIOD = "pending", Moment("within_last", CONFIRMATION_PERIOD)


@condition(
    "known",
    group="profile",
    label="Known",
    unit="flag",
    example={"is": True},
    synonyms="identified, registered, account, profile, contact, lead, prospect, guest, anonymous, visitor, "
    "signed up",
    presets=(
        Preset(
            "Anonymous visitors",
            {"is": True},
            "anonymous, visitors, guests, unknown, unidentified",
            is_negated=True,
        ),
    ),
)
class Known(Condition):
    """Whether the customer has an e-mail address or a phone number."""

    exposure = Exposure.OPEN

    is_: bool = required(FLAG)

    def q(self, context: EvaluationContext) -> Q:
        known = Customer.objects.known_q()
        return known if self.is_ else not_true_q(known)

    def value(self, context: EvaluationContext) -> Any:
        return Case(When(Customer.objects.known_q(), then=Value(True)), default=Value(False))

    def sentence(self) -> str:
        return "is known" if self.is_ else "is anonymous"

    def negated_sentence(self) -> str:
        return "is anonymous" if self.is_ else "is known"


@condition(
    "newsletter",
    group="profile",
    label="Newsletter",
    unit="text",
    example={"is": "subscribed"},
    synonyms="e-mail, subscription, consent, permission, opt-in, opt-out, marketing, mailing list, GDPR, "
    "privacy, SMS",
    presets=(
        Preset(
            "Subscribed to the newsletter",
            {"is": "subscribed"},
            "subscriber, subscribed, opted in, opt-in, consent, accepts marketing, may be written to",
        ),
        Preset(
            "Unsubscribed from the newsletter",
            {"is": "unsubscribed"},
            "unsubscribed, unsubscribe, opted out, opt-out, left the newsletter",
        ),
        Preset(
            "Never subscribed to the newsletter",
            {"is": "never"},
            "never subscribed, no consent, not subscribed",
        ),
        Preset(
            "Asked for the newsletter, not confirmed",
            {"is": "pending"},
            "pending, unconfirmed, double opt-in, waiting for confirmation",
        ),
    ),
)
class Newsletter(Condition):
    """The newsletter consent. `pending` means a subscription that is not confirmed yet, for up to 30 days.

    A customer who is `pending` is also `never` or `unsubscribed`.
    """

    prevented_by = ("confirm it",)
    exposure = Exposure.OPEN

    is_: str = required(Scalar(values.choice(*Customer.Newsletter.values, PENDING)))

    def q(self, context: EvaluationContext) -> Q:
        if self.is_ == PENDING:
            return PENDING_PERIOD.q(F("pending_at"), context.at, context.zone)
        return Q(Exact(F("newsletter"), self.is_))

    def value(self, context: EvaluationContext) -> Any:
        if self.is_ == PENDING:
            return Case(When(self.q(context), then=Value(PENDING)), default=F("newsletter"))
        return F("newsletter")

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        if self.is_ != PENDING:
            return []
        return records_in_window(
            Customer.objects.existing(), "pending_at", since, until, PENDING_PERIOD.spans
        )

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = (NO_DELAY, *PENDING_PERIOD.spans) if self.is_ == PENDING else ()
        return borders_of_rows(Customer.objects.existing(), "pending_at", spans, context, within)

    def sentence(self) -> str:
        return {
            "subscribed": "is subscribed to the newsletter",
            "unsubscribed": "has unsubscribed from the newsletter",
            "never": "has never subscribed to the newsletter",
            PENDING: "has asked for the newsletter in the last 30 days and not confirmed it",
        }[self.is_]

    def negated_sentence(self) -> str:
        return {
            "subscribed": "is not subscribed to the newsletter",
            "unsubscribed": "has not unsubscribed from the newsletter",
            "never": "has subscribed to the newsletter or unsubscribed from it",
            PENDING: "has no newsletter subscription that waits to be confirmed",
        }[self.is_]


@condition(
    "first_seen",
    group="profile",
    label="First seen",
    unit="moment",
    example={"within_last": "30d"},
    synonyms="new, first visit, signed up, sign-up date, registered, created, joined, acquired, acquisition, "
    "cohort, customer since",
    presets=(Preset("New customers and visitors", {"within_last": "30d"}, "new, newcomer, recently joined"),),
)
class FirstSeen(MomentFact):
    """The time of the customer's first visit or first record."""

    exposure = Exposure.OPEN

    fact = "first_seen_at"
    records = (first_seen_in_window,)
    when: Moment = inline_param(Moment)

    def sentence(self) -> str:
        return f"was first seen {self.when.phrase()}"


@condition(
    "contact",
    group="profile",
    label="E-mail or phone",
    unit="text",
    example={"has": "email"},
    synonyms="reachable, contact details, contact data, address",
    presets=(
        Preset("Has an e-mail address", {"has": "email"}, "email, e-mail, mail address"),
        Preset(
            "Has a phone number",
            {"has": "phone"},
            "phone, telephone, mobile, cell, SMS, text message, WhatsApp",
        ),
    ),
)
class Contact(Condition):
    """Whether the customer has an e-mail address, or a phone number."""

    verbs = ("has", "does not have")

    exposure = Exposure.VALUE

    has: str = required(Scalar(values.choice("email", "phone")))

    def q(self, context: EvaluationContext) -> Q:
        return ~Q(**{self.has: ""})

    def value(self, context: EvaluationContext) -> Any:
        return F(self.has)

    def sentence(self) -> str:
        return "has an e-mail address" if self.has == "email" else "has a phone number"

    def negated_sentence(self) -> str:
        return "has no e-mail address" if self.has == "email" else "has no phone number"


@condition(
    "subscribed_at",
    group="profile",
    label="Subscribed at",
    unit="moment",
    example={"within_last": "7d"},
    synonyms="subscriber since, subscription date, new subscriber, opt-in date, consent date, joined the "
    "newsletter",
)
class SubscribedAt(Condition):
    """The time at which the customer subscribed to the newsletter."""

    exposure = Exposure.OPEN

    when: Moment = inline_param(Moment)

    def q(self, context: EvaluationContext) -> Q:
        return self.when.q(F("subscribed_at"), context.at, context.zone)

    def value(self, context: EvaluationContext) -> Any:
        return F("subscribed_at")

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return records_in_window(Customer.objects.existing(), "subscribed_at", since, until, self.when.spans)

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = (NO_DELAY, *self.when.spans) if self.when.spans else ()
        return borders_of_rows(Customer.objects.existing(), "subscribed_at", spans, context, within)

    def sentence(self) -> str:
        if self.when.word == "ever":
            return f"has {'' if self.when.value else 'never '}subscribed to the newsletter"
        return f"subscribed to the newsletter {self.when.phrase()}"


class _ProfileText(Condition):
    column = ""
    operator: Text

    def q(self, context: EvaluationContext) -> Q:
        return self.operator.q(F(f"{self.column}_folded"))

    def value(self, context: EvaluationContext) -> Any:
        return F(self.column)

    def sentence(self) -> str:
        return f"has a {self.column} that {self.operator.phrase(self.display_name)}"

    def negated_sentence(self) -> str:
        return f"does not have a {self.column} that {self.operator.phrase(self.display_name)}"

    @staticmethod
    def display_name(value: str) -> str:
        """Return how sentences show a value."""
        return value


@condition(
    "country",
    group="profile",
    label="Country",
    unit="text",
    example={"in": ["DE", "FR"]},
    synonyms="nation, land, location, region, market, geography, lives in, shipping country, address",
)
class Country(_ProfileText):
    """The customer's country, as the shop writes it."""

    exposure = Exposure.OPEN

    column = "country"
    operator: Text = inline_param(Text)

    @staticmethod
    def display_name(value: str) -> str:
        return str(ENGLISH.territories.get(value.upper(), value))


@condition(
    "language",
    group="profile",
    label="Language",
    unit="text",
    example={"is": "de"},
    synonyms="locale, speaks, tongue, translation",
)
class Language(_ProfileText):
    """The customer's language, as the shop writes it."""

    exposure = Exposure.OPEN

    column = "language"
    operator: Text = inline_param(Text)

    @staticmethod
    def display_name(value: str) -> str:
        code = value.lower() if len(value) < 4 else value.replace("-", "_")
        return str(ENGLISH.languages.get(code, value))


@condition(
    "city",
    group="profile",
    label="City",
    unit="text",
    example={"starts_with": "Saint"},
    synonyms="town, place, location, region, lives in, address",
)
class City(_ProfileText):
    """The customer's city."""

    column = "city"
    operator: Text = inline_param(Text)


@condition(
    "source",
    group="profile",
    label="Source",
    unit="text",
    example={"is": "google"},
    synonyms="UTM, utm_source, campaign, channel, referrer, referral, acquisition, traffic, origin, came from, "
    "medium, attribution, ad, ads, Instagram, Facebook, Google",
)
class Source(_ProfileText):
    """Where the customer came from, such as `google`."""

    exposure = Exposure.OPEN

    column = "source"
    operator: Text = inline_param(Text)


@condition(
    "attribute",
    group="profile",
    label="Attribute",
    unit="free",
    example={"name": "loyalty_tier", "is": "gold"},
    synonyms="tag, tags, custom field, custom property, metafield, trait, label, gender, age, company, loyalty "
    "tier, points, size, membership, preference",
    presets=(Preset("Has a tag", {"name": "tags", "has": ""}, "tag, tags, tagged, label"),),
)
class Attribute(Condition):
    """One of the shop's own attributes: a text, a number, a date, or a list of texts."""

    name_: str = required(NAME)
    operator: Text | Number | Moment | List = inline_param(Text, Number, Moment, List)

    def q(self, context: EvaluationContext) -> Q:
        value = free_value_expression(self.name_, "attributes_comparable")
        if isinstance(self.operator, Moment):
            return self.operator.encoded_q(value, context.at, context.zone)
        if isinstance(self.operator, Text):
            return self.operator.in_list_q(value)
        return self.operator.encoded_q(value)

    def value(self, context: EvaluationContext) -> Any:
        return F("attributes")

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        if not isinstance(self.operator, Moment):
            return []
        return records_in_window(self._dated_attributes(), "at", since, until, self.operator.spans)

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = self.operator.spans if isinstance(self.operator, Moment) else ()
        spans = (NO_DELAY, *spans) if spans else ()
        return borders_of_rows(self._dated_attributes(), "at", spans, context, within)

    def _dated_attributes(self) -> QuerySet[DatedAttribute]:
        return DatedAttribute.objects.filter(name=sortable_values.json_key(self.name_))

    def sentence(self) -> str:
        if isinstance(self.operator, Moment):
            return f"has the date “{self.name_}” {self.operator.phrase()}"
        return f"has an attribute “{self.name_}” that {comparison_phrase(self.operator)}"


@condition(
    "birthday",
    group="profile",
    label="Birthday",
    unit="date",
    example={"within_next": "7d"},
    synonyms="birth date, born, anniversary, age, celebrate",
    presets=(Preset("Birthday today", {"within_next": "0d"}, "birthday today"),),
)
class Birthday(Condition):
    """The customer has a birthday within the next days, in the shop's time zone. `0d` means today.

    A birthday on 29 February is on 28 February in other years.
    """

    within_next: timedelta = required(Scalar(values.DAYS))

    def q(self, context: EvaluationContext) -> Q:
        def days(context: EvaluationContext) -> tuple[date, date]:
            today = context.at.astimezone(context.zone).date()
            return today, today + self.within_next

        if self.within_next.days >= 365:
            return Q(birthday__isnull=False)
        if isinstance(context.at, ColumnInstant):
            return birthday_q(column_birthday_ranges(context.at, context.zone, self.within_next))
        return birthday_q(
            lambda place: context.late_param(lambda filled: birthday_ranges(*days(filled))[place])
        )

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Select birthdays on the days that entered or left the range, with one more day for 29 February."""

        def passed(behind: timedelta) -> QuerySet[Any]:
            def days(earlier: EvaluationContext, later: EvaluationContext) -> tuple[int, ...]:
                first, last = (
                    context.at.astimezone(context.zone).date() + behind for context in (earlier, later)
                )
                return birthday_ranges(first - DAY, last + DAY) if first < last else NO_DAYS

            ends = birthday_q(lambda place: LateParam(lambda *contexts: days(*contexts)[place], since, until))
            return customer_keys(Customer.objects.filter(ends))

        return [passed(timedelta()), passed(self.within_next)]

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        """Select the midnights of days on which a birthday may enter or leave the range."""
        if self.within_next.days >= 365:
            return []
        return birthday_borders(self.within_next, context, within)

    def value(self, context: EvaluationContext) -> Any:
        return F("birth_date")

    def sentence(self) -> str:
        return (
            f"has a birthday within the next {duration_text(self.within_next)}"
            if self.within_next
            else "has a birthday today"
        )
