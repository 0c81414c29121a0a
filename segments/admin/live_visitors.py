"""Who is in the shop right now: asked anew every few seconds, filtered by segments and rules evaluated live."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
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
from segments.rules import EvaluationContext, RuleError, parse

from .access import ADD, SEE, SEE_CUSTOMERS
from .forms import RuleField, told
from .page_context import ours

MOST, FEWER = 1_000, 100
ROWS = 25
SECONDS_BETWEEN_LOOKS = 5
PATIENCE = 2.0
"""Seconds that one look may take."""
MINUTES = {"5": "5 minutes", "15": "15 minutes", "30": "30 minutes", "60": "60 minutes"}
DEFAULT_MINUTES = "15"
CART = timedelta(days=30)
"""How long ago the latest product was put into a cart that is still of interest."""

TOO_SLOW = (
    "That takes too long for a page that looks again and again. Filter by less, or save the rule as a segment:"
    " its refresh does the slow part."
)


class OptionalRuleField(RuleField):
    """A rule, or none."""

    def validate(self, value: Any) -> None:
        """Refuse a rule that will not do."""
        if value not in self.empty_values:
            super().validate(value)


class FilterForm(forms.Form):
    """Whom to show: quick choices, each a rule, a segment, or any rule."""

    minutes = forms.ChoiceField(
        label="Active in the last", choices=MINUTES.items(), required=False, widget=UnfoldAdminSelectWidget()
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
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "as recorded: DE"}),
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
        """Give the segment."""
        return self.segments.get(self.cleaned_data["segment"])

    def clean_minutes(self) -> str:
        """Take the usual period where none is chosen."""
        return self.cleaned_data["minutes"] or DEFAULT_MINUTES

    @property
    def chosen(self) -> Mapping[str, Any]:
        """Give what was filled in without a mistake."""
        return {"minutes": DEFAULT_MINUTES} | self.cleaned_data

    @property
    def period(self) -> timedelta:
        """Give how long ago somebody active may have been so."""
        return timedelta(minutes=int(self.chosen["minutes"]))

    def asked(self, *, is_live: bool) -> Any:
        """Give the choices as one rule, None where there are none; a live one asks a segment's rule itself."""
        rules = list(_rules(self.chosen, is_live))
        return rules[0] if len(rules) == 1 else {"all": rules} if rules else None


def _rules(chosen: Mapping[str, Any], is_live: bool) -> Iterator[Any]:
    if who := chosen.get("who"):
        yield {"known": {"is": who == "known"}}
    if chosen.get("cart"):
        yield {"open_cart": {"within_last": f"{CART.days}d"}}
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
class Row:
    """One visitor, as the page shows them."""

    customer: Customer
    latest: ActivityItem | None
    visit: Visit | None
    cart: str
    segments: Sequence[Segment]


@dataclass(frozen=True)
class Look:
    """What there is to see at one instant; ``active`` counts everybody before the filter."""

    at: datetime
    rows: Sequence[Row] = ()
    active: int = 0
    fitting: int = 0
    known: int = 0
    is_everybody: bool = True
    number: int = 1
    problem: str = ""

    @property
    def anonymous(self) -> int:
        """Count the visitors whom nobody knows."""
        return self.fitting - self.known

    @property
    def has_more(self) -> bool:
        """Tell whether there is another page."""
        return self.number * ROWS < self.fitting


@require_permissions(SEE, SEE_CUSTOMERS, methods=READ_METHODS)
def page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show who is there; htmx asks for the part that changes."""
    form = FilterForm(request.GET, list(Segment.objects.all()))
    form.is_valid()  # what is wrong is told beside its field, and the rest is taken
    now = datetime.now(UTC)
    number = request.GET.get("page", "")
    look = _look(
        request, form, now, int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 1
    )
    rule = form.asked(is_live=False)
    context = {
        "form": form,
        "look": look,
        "newer": _address(request.GET, look.number - 1) if look.number > 1 else "",
        "older": _address(request.GET, look.number + 1) if look.has_more else "",
        "sentence": _sentence(rule),
        "save": _save_address(rule) if request.user.has_perm(ADD) else "",
        "minutes": form.chosen["minutes"],
        "latest_event_at": live_visitors.latest_event_at() if not look.active else None,
    }
    if "HX-Request" in request.headers:
        return TemplateResponse(request, "segments/admin/visitors_now.html", context)
    context |= ours(model_admin, request, "Live visitors") | {"seconds": SECONDS_BETWEEN_LOOKS}
    # Not of the customers' pages alone: so the breadcrumbs end in the page's own name.
    context |= {"opts": None, "model_admin": model_admin}
    return TemplateResponse(request, "segments/admin/visitors.html", context)


def _look(request: HttpRequest, form: FilterForm, now: datetime, number: int) -> Look:
    if form.errors:
        return Look(now, problem="Something in the filter cannot be read; it says what beside its field.")
    try:
        if refusal := _refusal(request, form.asked(is_live=False)):
            return Look(now, problem=refusal)
        # With no worker much waits to be summed up, and a rule is asked about fewer.
        for most in (MOST, FEWER):
            with suppress(time_limits.StatementTimeout), time_limits.time_limit(PATIENCE):
                return _looked(request, form, now, number, most)
    except RuleError as error:
        return Look(now, problem=f"The filter cannot be read: {told(error)}")
    return Look(now, problem=TOO_SLOW)


def _refusal(request: HttpRequest, rule: Any) -> str:
    """Say why the person may not filter by a rule, nothing where they may; raises RuleError where it cannot be read."""
    if rule is None or contact_data.may_see(request):
        return ""
    asked = parse(rule)
    try:
        disclosure.check_exposure(asked)
    except RuleError as error:
        return f"{told(error)}. Take it out, or choose a segment."
    return ""


def _looked(request: HttpRequest, form: FilterForm, now: datetime, number: int, most: int) -> Look:
    found = live_visitors.active(now - form.period, now, most)
    keys = found.customers
    rule = form.asked(is_live=True)
    if rule is None:
        context = None
        known = Customer.objects.known().filter(pk__in=keys).count()
    else:
        context = live.context_for_customers(keys, now)
        fitting = live.matching_customers(rule, keys, context)
        keys = [key for key in keys if key in fitting]
        known = sum(fitting.values())
    number = max(1, min(number, -(-len(keys) // ROWS)))
    shown = keys[(number - 1) * ROWS : number * ROWS]
    return Look(
        at=now,
        rows=_shown(
            request, shown, form.segments.values(), context or live.context_for_customers(shown, now)
        ),
        active=len(found.customers),
        fitting=len(keys),
        known=known,
        is_everybody=found.is_everybody,
        number=number,
    )


def _sentence(rule: Any) -> str:
    try:
        return parse(rule).sentence() if rule is not None else ""
    except RuleError:
        return ""  # told above


def _shown(
    request: HttpRequest, keys: Sequence[int], segments: Iterable[Segment], context: EvaluationContext
) -> list[Row]:
    customers = Customer.objects.in_bulk(keys)
    latest = live_visitors.latest_records(keys, context.at)
    for record in latest.values():
        if isinstance(record, Event):
            record.properties = contact_data.visible_properties(request, record.properties)
    visits = live_visitors.visits(keys, context.at)
    held = facts.facts_by_customer(keys, context.facts)
    members = _segments(keys, segments, context)
    return [
        Row(
            customer=contact_data.visible_customer(request, customers[key]),
            latest=activity_items.activity_item(latest[key]) if key in latest else None,
            visit=visits.get(key),
            cart=_cart(held.get(key), context.at - CART),
            segments=sorted(members[key], key=lambda segment: segment.name),
        )
        for key in keys
    ]


def _segments(
    keys: Sequence[int], segments: Iterable[Segment], context: EvaluationContext
) -> dict[int, list[Segment]]:
    """Give the segments each is in: by rule at this moment, and the fixed lists."""
    rules = [one for one in segments if one.is_dynamic and one.is_active]
    lists = {one.pk: one for one in segments if not one.is_dynamic}
    found = live.matching_segments_by_customer(keys, rules, context)
    if lists:
        on_lists = Membership.objects.filter(customer__in=keys, segment__in=lists)
        for customer, segment in on_lists.values_list("customer_id", "segment_id"):
            found[customer].append(lists[segment])
    return found


def _cart(held: FactColumns | None, since: datetime) -> str:
    if held is None or not facts.has_open_cart(held, since):
        return ""
    return amount(from_units(held.cart_value), settings.SHOP_CURRENCY)


def _address(query: QueryDict, number: int) -> str:
    changed = query.copy()
    changed["page"] = str(number)
    return f"?{changed.urlencode()}"


def _save_address(rule: Any) -> str:
    if rule is None:
        return ""
    text = json.dumps(rule, indent=2, ensure_ascii=False)
    return f"{reverse('admin:segments_segment_add')}?{urlencode({'rule': text})}"
