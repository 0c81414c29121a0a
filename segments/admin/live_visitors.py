"""Who is in the shop right now: reloaded every few seconds, and filtered by segments and rules evaluated live."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.shop import shop
from core.templatetags.display import amount
from core.values.decimals import from_units
from customers import live_visitors
from customers.admin import activity_items, contact_data, facts
from customers.admin.activity_items import ActivityItem
from customers.live_visitors import Visit
from customers.models import Customer, Event
from customers.models.facts import FactColumns
from segments import disclosure
from segments.evaluation import live
from segments.models import Membership, Segment
from segments.references import with_segment_names
from segments.rules import EvaluationContext, RuleError, parse

from .access import ADD_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from .forms import RuleField, rule_error_text
from .page_context import admin_context

MAX_VISITORS, FEWER_VISITORS = 1_000, 100
PAGE_SIZE = 25
POLL_SECONDS = 5
MAX_SECONDS = 2.0
"""The time limit for the queries of one page."""
PERIOD_CHOICES = {"5": "5 minutes", "15": "15 minutes", "30": "30 minutes", "60": "60 minutes"}
DEFAULT_MINUTES = "15"
OPEN_CART_PERIOD = timedelta(days=30)
"""How long a cart counts as open after the last product was added."""

TOO_SLOW = (
    "This filter takes too long for a page that reloads every few seconds. Use a simpler filter, or save the rule as a"
    " segment and choose that segment here."
)


class OptionalRuleField(RuleField):
    def validate(self, value: Any) -> None:
        """Validate the rule unless it is empty."""
        if value not in self.empty_values:
            super().validate(value)


class VisitorFilterForm(forms.Form):
    """The filter of the page: quick choices, a segment, or any rule."""

    minutes = forms.ChoiceField(
        label="Active in the last",
        choices=PERIOD_CHOICES.items(),
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )
    who = forms.ChoiceField(
        label="Who",
        choices=[("", "Everybody"), ("anonymous", "Anonymous visitors"), ("known", "Known customers")],
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )
    segment = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget())
    viewed = forms.CharField(
        label="Viewed a product named",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "part of its name"}),
    )
    country = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "for example DE"}),
    )
    cart = forms.BooleanField(label="With an open cart", required=False, widget=UnfoldBooleanWidget())
    first_visit = forms.BooleanField(label="On the first visit", required=False, widget=UnfoldBooleanWidget())
    rule = OptionalRuleField(label="Any other rule", required=False)

    def __init__(self, data: Any, segments: Sequence[Segment]) -> None:
        super().__init__({**data.dict(), "minutes": data.get("minutes") or DEFAULT_MINUTES})
        self.segments = {segment.slug: segment for segment in segments}
        names = [(segment.slug, segment.name) for segment in segments]
        field: Any = self.fields["segment"]
        field.choices = [("", "Any segment, or none"), *names]

    def clean_segment(self) -> Segment | None:
        return self.segments.get(self.cleaned_data["segment"])

    def clean_minutes(self) -> str:
        """Return the default period if none is chosen."""
        return self.cleaned_data["minutes"] or DEFAULT_MINUTES

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Return the valid fields."""
        return {"minutes": DEFAULT_MINUTES} | self.cleaned_data

    @property
    def period(self) -> timedelta:
        """Return how far back activity counts."""
        return timedelta(minutes=int(self.chosen["minutes"]))

    def combined_rule(self, *, is_live: bool) -> Any:
        """Return the choices as one rule, or None. With ``is_live``, a segment's own rule stands in for its members."""
        rules = list(_chosen_rules(self.chosen, is_live))
        return rules[0] if len(rules) == 1 else {"all": rules} if rules else None


def _chosen_rules(chosen: Mapping[str, Any], is_live: bool) -> Iterator[Any]:
    if who := chosen.get("who"):
        yield {"known": {"is": who == "known"}}
    if chosen.get("cart"):
        yield {"open_cart": {"within_last": f"{OPEN_CART_PERIOD.days}d"}}
    if chosen.get("first_visit"):
        yield {"session_count": {"is": 1}}
    if name := chosen.get("viewed"):
        product = {"name": {"contains": name}}
        yield {"viewed": {"product": product, "during": {"within_last": f"{chosen['minutes']}m"}}}
    if country := chosen.get("country"):
        yield {"country": {"is": country}}
    if chosen.get("rule"):
        yield chosen["rule"]
    if segment := chosen.get("segment"):
        yield segment.rule if is_live and segment.is_dynamic else {"in_segment": {"is": segment.slug}}


@dataclass(frozen=True)
class VisitorRow:
    """One visitor on the page."""

    customer: Customer
    latest: ActivityItem | None
    visit: Visit | None
    cart: str
    segments: Sequence[Segment]


@dataclass(frozen=True)
class VisitorList:
    """The visitors at one instant. ``active`` counts all of them, ``fitting`` those that pass the filter."""

    at: datetime
    rows: Sequence[VisitorRow] = ()
    active: int = 0
    fitting: int = 0
    known: int = 0
    is_everybody: bool = True
    number: int = 1
    problem: str = ""

    @property
    def anonymous(self) -> int:
        return self.fitting - self.known

    @property
    def has_more(self) -> bool:
        return self.number * PAGE_SIZE < self.fitting


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def live_visitors_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the active visitors. A request by htmx gets only the part that changes."""
    form = VisitorFilterForm(request.GET, list(Segment.objects.all()))
    form.is_valid()  # errors appear next to their fields, and the valid fields are used
    now = datetime.now(UTC)
    number = request.GET.get("page", "")
    look = _list_visitors(
        request, form, now, int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 1
    )
    rule = form.combined_rule(is_live=False)
    context = {
        "form": form,
        "look": look,
        "newer": _page_url(request.GET, look.number - 1) if look.number > 1 else "",
        "older": _page_url(request.GET, look.number + 1) if look.has_more else "",
        "sentence": _rule_sentence(rule),
        "save": _save_url(rule) if request.user.has_perm(ADD_SEGMENT) else "",
        "minutes": form.chosen["minutes"],
        "latest_event_at": live_visitors.latest_event_at() if not look.active else None,
    }
    if "HX-Request" in request.headers:
        return TemplateResponse(request, "segments/admin/visitors_now.html", context)
    context |= admin_context(model_admin, request, "Live visitors") | {"seconds": POLL_SECONDS}
    # Without these, the breadcrumbs end in the title of the page, not in the customers.
    context |= {"opts": None, "model_admin": model_admin}
    return TemplateResponse(request, "segments/admin/visitors.html", context)


def _list_visitors(request: HttpRequest, form: VisitorFilterForm, now: datetime, number: int) -> VisitorList:
    if form.errors:
        return VisitorList(now, problem="The filter has an error. See the message next to the field.")
    try:
        if refusal := _disclosure_error(request, form.combined_rule(is_live=False)):
            return VisitorList(now, problem=refusal)
        # If no worker runs, many customers' facts are out of date and must be computed here: try fewer customers then.
        for most in (MAX_VISITORS, FEWER_VISITORS):
            with suppress(time_limits.StatementTimeout), time_limits.time_limit(MAX_SECONDS):
                return _list_within_time(request, form, now, number, most)
    except RuleError as error:
        return VisitorList(now, problem=f"The filter is invalid: {rule_error_text(error)}")
    return VisitorList(now, problem=TOO_SLOW)


def _disclosure_error(request: HttpRequest, rule: Any) -> str:
    """Return why the person may not filter by a rule, or an empty text. Raises RuleError for an invalid rule."""
    if rule is None or contact_data.may_see(request):
        return ""
    asked = parse(rule)
    try:
        disclosure.check_exposure(asked)
    except RuleError as error:
        return f"{rule_error_text(error)}. Remove this condition, or choose a segment."
    return ""


def _list_within_time(
    request: HttpRequest, form: VisitorFilterForm, now: datetime, number: int, most: int
) -> VisitorList:
    active = live_visitors.find_active(now - form.period, now, most)
    keys = active.customers
    rule = form.combined_rule(is_live=True)
    if rule is None:
        context = None
        known = set(Customer.objects.known().filter(pk__in=keys).values_list("pk", flat=True))
    else:
        context = live.context_for_customers(keys, now)
        fitting = live.matching_customers(rule, keys, context)
        keys = [key for key in keys if key in fitting]
        known = {key for key, is_known in fitting.items() if is_known}
    keys = sorted(keys, key=lambda key: key not in known)  # known customers first, each part by time
    number = max(1, min(number, -(-len(keys) // PAGE_SIZE)))
    shown = keys[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return VisitorList(
        at=now,
        rows=_visitor_rows(
            request, shown, form.segments.values(), context or live.context_for_customers(shown, now)
        ),
        active=len(active.customers),
        fitting=len(keys),
        known=len(known),
        is_everybody=active.is_everybody,
        number=number,
    )


def _rule_sentence(rule: Any) -> str:
    try:
        return with_segment_names(parse(rule)).sentence() if rule is not None else ""
    except RuleError:
        return ""  # the page shows the error


def _visitor_rows(
    request: HttpRequest, keys: Sequence[int], segments: Iterable[Segment], context: EvaluationContext
) -> list[VisitorRow]:
    customers = contact_data.customers_by_key(request, keys)
    latest = live_visitors.latest_records(keys, context.at)
    for record in latest.values():
        if isinstance(record, Event):
            record.properties = contact_data.visible_properties(request, record.properties)
    visits = live_visitors.latest_visits(keys, context.at)
    held = facts.facts_by_customer(keys, context.facts)
    members = _segments_by_customer(keys, segments, context)
    return [
        VisitorRow(
            customer=customers[key],
            latest=activity_items.activity_item(latest[key]) if key in latest else None,
            visit=visits.get(key),
            cart=_cart_text(held.get(key), context.at - OPEN_CART_PERIOD),
            segments=sorted(members[key], key=lambda segment: segment.name),
        )
        for key in keys
    ]


def _segments_by_customer(
    keys: Sequence[int], segments: Iterable[Segment], context: EvaluationContext
) -> dict[int, list[Segment]]:
    """Return each customer's segments: those whose rules match at this moment, and fixed lists."""
    rules = [segment for segment in segments if segment.is_dynamic and segment.is_active]
    lists = {segment.pk: segment for segment in segments if not segment.is_dynamic}
    matching = live.matching_segments_by_customer(keys, rules, context)
    if lists:
        on_lists = Membership.objects.filter(customer__in=keys, segment__in=lists)
        for customer, segment in on_lists.values_list("customer_id", "segment_id"):
            matching[customer].append(lists[segment])
    return matching


def _cart_text(held: FactColumns | None, since: datetime) -> str:
    if held is None or not facts.has_open_cart(held, since):
        return ""
    return amount(from_units(held.cart_value), shop().currency)


def _page_url(query: QueryDict, number: int) -> str:
    changed = query.copy()
    changed["page"] = str(number)
    return f"?{changed.urlencode()}"


def _save_url(rule: Any) -> str:
    if rule is None:
        return ""
    text = json.dumps(rule, indent=2, ensure_ascii=False)
    return f"{reverse('admin:segments_segment_add')}?{urlencode({'rule': text})}"
