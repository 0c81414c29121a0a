"""Which people a table shows, and in which order: read from the query string, with a time limit."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.db import time_limits
from core.values.decimals import to_units
from core.values.sortable_values import fold_case
from customers.admin import contact_data
from customers.models import Customer
from segments.models import Membership, Segment

from . import columns
from .columns import Column

PAGE_SIZE: Final = 50
MAX_PAGE: Final = 200
BATCH_SIZE: Final = 5_000
MAX_SECONDS: Final = 5.0
"""The time limit of the queries of one page."""
MAX_NUMBER: Final = 10**9
KNOWN_FIRST: Final = ("-is_known", "-entered_at", "-customer_id")


class PeopleFilterForm(forms.Form):
    """The query string: what narrows the people, their order, and the page. Invalid fields are ignored."""

    q = forms.CharField(required=False, max_length=300)
    known = forms.ChoiceField(
        label="Who",
        required=False,
        choices=[("", "Everybody"), ("yes", "Known people"), ("no", "Visitors")],
        widget=UnfoldAdminSelectWidget(),
    )
    newsletter = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), *Customer.Newsletter.choices],
        widget=UnfoldAdminSelectWidget(),
    )
    country = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "for example IT"}),
    )
    orders = forms.IntegerField(
        label="Orders, at least",
        required=False,
        min_value=0,
        max_value=MAX_NUMBER,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    spent = forms.IntegerField(
        label="Spent, at least",
        required=False,
        min_value=0,
        max_value=MAX_NUMBER,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    active = forms.IntegerField(
        label="Active in the last days",
        required=False,
        min_value=1,
        max_value=36_500,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    sort = forms.CharField(required=False, max_length=30)
    page = forms.IntegerField(required=False, min_value=1, max_value=MAX_PAGE)

    NARROWING: Final = ("known", "newsletter", "country", "orders", "spent", "active")


@dataclass(frozen=True)
class People:
    """The people of a segment that a request asks for, in its order."""

    segment: Segment
    request: HttpRequest
    form: PeopleFilterForm
    given: Mapping[str, Any]
    sort: str
    """The key of a column, with a minus if the highest come first; empty if known people come first."""

    @property
    def term(self) -> str:
        return str(self.given.get("q") or "").strip()

    @property
    def is_narrowed(self) -> bool:
        return bool(self.term) or any(
            self.given.get(name) not in (None, "") for name in PeopleFilterForm.NARROWING
        )

    @property
    def number(self) -> int:
        return int(self.given.get("page") or 1)

    def members(self) -> QuerySet[Membership]:
        """Return the memberships that pass the filters, without an order."""
        given = self.given
        members = Membership.objects.filter(segment=self.segment)
        if self.term:
            found = Customer.objects.filter(contact_data.search_q(self.request, self.term))
            members = members.filter(customer_id__in=found.values("pk"))
        if known := given.get("known"):
            members = members.filter(is_known=known == "yes")
        if newsletter := given.get("newsletter"):
            members = members.filter(customer__newsletter=newsletter)
        if country := given.get("country"):
            members = members.filter(customer__country_folded=fold_case(country.strip()))
        if given.get("orders") is not None:
            members = members.filter(customer__facts__order_count__gte=given["orders"])
        if given.get("spent") is not None:
            members = members.filter(customer__facts__total_spent__gte=to_units(given["spent"]))
        if days := given.get("active"):
            since = datetime.now(UTC) - timedelta(days=days)
            members = members.filter(customer__facts__last_activity_at__gte=since)
        return members

    def keys(self) -> QuerySet[Membership, int]:
        """Return the keys of the customers in the order of the table. Only keys are sorted, not whole rows."""
        members = self.members()
        if self.sort:
            path = columns.COLUMNS[self.sort.removeprefix("-")].order
            is_descending = self.sort.startswith("-")
            order = path.desc(nulls_last=True) if is_descending else path.asc(nulls_last=True)
            members = members.order_by(order, "-customer_id")
        else:
            members = members.order_by(*KNOWN_FIRST)
        return members.values_list("customer_id", flat=True)

    def page(self) -> list[int]:
        """Return the keys of one page, and one more if another page follows. Raises StatementTimeout."""
        start = (self.number - 1) * PAGE_SIZE
        with time_limits.time_limit(MAX_SECONDS):
            return list(self.keys()[start : start + PAGE_SIZE + 1])

    def count(self) -> int | None:
        """Return how many people there are, or None if counting takes too long."""
        if not self.is_narrowed:
            return int(self.segment.size)
        try:
            with time_limits.time_limit(MAX_SECONDS):
                return self.members().count()
        except time_limits.StatementTimeout:
            return None


def requested_people(request: HttpRequest, segment: Segment) -> People:
    """Read the query string. A person cannot sort by a column that is masked for them."""
    form = PeopleFilterForm(request.GET)
    form.is_valid()
    given = form.cleaned_data
    sort = given.get("sort") or ""
    sortable = {column.key for column in columns.sortable_columns(request)}
    return People(segment, request, form, given, sort if sort.removeprefix("-") in sortable else "")


def members_by_key(people: People, shown: Sequence[Column], keys: Iterable[int]) -> list[Membership]:
    """Return members in the order of their keys, each with the customer as the person may see them.

    Only what the columns show is read.
    """
    keys = list(keys)
    fields = columns.stored_fields(shown, is_masked=not contact_data.may_see(people.request))
    members = Membership.objects.filter(segment=people.segment, customer__one_of=keys)
    read = members.select_related("customer__facts").only(*fields)
    found = {member.customer_id: member for member in read}
    for member in found.values():
        member.customer = contact_data.visible_customer(people.request, member.customer)
    return [found[key] for key in keys if key in found]


def member_batches(
    people: People, shown: Sequence[Column], only: Iterable[int] | None
) -> Iterator[list[Membership]]:
    """Yield all people in the order of the table, however many; ``only`` keeps the customers with these keys.

    The keys are sorted once. Each batch is its own query, so no transaction stays open while a slow client reads.
    """
    keys = array("q", people.keys().iterator() if only is None else _in_order(people, only))
    for start in range(0, len(keys), BATCH_SIZE):
        yield members_by_key(people, shown, keys[start : start + BATCH_SIZE])


def _in_order(people: People, only: Iterable[int]) -> Iterable[int]:
    return people.keys().filter(customer__one_of=list(only))
