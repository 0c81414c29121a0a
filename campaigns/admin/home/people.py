"""The people behind the numbers of the home page: one page for each number."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django import forms
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from campaigns.delivery import reach
from core.admin.capped_lists import CappedPaginator
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.shop import shop
from core.values.decimals import from_units
from customers.admin import contact_data
from customers.models import Customer
from segments import insights, sales, stages
from segments.admin.access import VIEW_CUSTOMER, VIEW_SEGMENT
from segments.insights import MONTH, WEEK
from segments.models import SLUG_LENGTH

PAGE_SIZE: Final = 50


class PeopleQueryForm(forms.Form):
    """The query string: the period before now, or the one before that, the stage, and the page."""

    days = forms.TypedChoiceField(required=False, coerce=int, choices=[(MONTH, "a month"), (WEEK, "a week")])
    before = forms.BooleanField(required=False)
    stage = forms.CharField(required=False, max_length=SLUG_LENGTH)
    page = forms.IntegerField(required=False, min_value=1, max_value=1_000)


@dataclass(frozen=True)
class Asked:
    """What a list is asked for."""

    at: datetime
    days: int
    is_before: bool
    stage: str

    @property
    def since(self) -> datetime:
        return self.until - timedelta(days=self.days)

    @property
    def until(self) -> datetime:
        return self.at - timedelta(days=self.days) if self.is_before else self.at

    @property
    def words(self) -> str:
        return (
            f"in the {self.days} days before the last {self.days}"
            if self.is_before
            else (f"in the last {self.days} days")
        )


@dataclass(frozen=True)
class PeopleList:
    """A title, the rows, and for orders ``is_of_orders``: each row is an order of a customer."""

    title: str
    rows: QuerySet[Any]
    is_of_orders: bool = False


def _orders(asked: Asked) -> PeopleList:
    orders = sales.orders_in(asked.since, asked.until).order_by("-placed_at", "-pk")
    title = f"Orders {asked.words}"
    if asked.stage:
        customers = Customer.objects.filter(_stage_q(asked.stage))
        orders = orders.filter(customer_id__in=customers.values("pk"))
        title += f", of customers in the stage “{_stage_name(asked.stage)}” now"
    return PeopleList(title, orders, is_of_orders=True)


def _new_customers(asked: Asked) -> PeopleList:
    new = sales.new_customers_in(asked.since, asked.until).values("customer_id")
    return PeopleList(f"First order {asked.words}", Customer.objects.existing().filter(pk__in=new))


def _reachable(asked: Asked) -> PeopleList:
    return PeopleList("Customers who can get an e-mail", reach.reachable_queryset())


def _under_limit(asked: Asked) -> PeopleList:
    title = "Customers who can get an e-mail and are under the weekly limit"
    return PeopleList(title, reach.under_cap_queryset(asked.at))


def _in_stage(asked: Asked) -> PeopleList:
    if not asked.stage:
        raise Http404
    title = (
        "Customers in no stage" if asked.stage == stages.NO_STAGE else f"Stage: {_stage_name(asked.stage)}"
    )
    return PeopleList(title, Customer.objects.existing().filter(_stage_q(asked.stage)))


LISTS: Final[Mapping[str, Callable[[Asked], PeopleList]]] = {
    "orders": _orders,
    "new-customers": _new_customers,
    "reachable": _reachable,
    "under-limit": _under_limit,
    "stage": _in_stage,
}


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def people_view(model_admin: Any, request: HttpRequest, what: str) -> HttpResponse:
    """Show one page of the people behind a number, the newest first, or that this takes too long."""
    if what not in LISTS:
        raise Http404
    form = PeopleQueryForm(request.GET)
    form.is_valid()  # an invalid value is ignored
    given = form.cleaned_data
    asked = Asked(
        datetime.now(UTC), given.get("days") or MONTH, given.get("before", False), given.get("stage", "")
    )
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "People",
        "opts": model_admin.opts,
        "currency": shop().currency,
    }
    try:
        with time_limits.time_limit(insights.QUERY_SECONDS):
            found = LISTS[what](asked)
            context |= {"title": found.title, "is_of_orders": found.is_of_orders}
            rows = found.rows if found.is_of_orders else found.rows.order_by("-pk").select_related("facts")
            paginator = CappedPaginator(rows, PAGE_SIZE)
            page = paginator.get_page(given.get("page") or 1)
            shown = list(page)
    except time_limits.StatementTimeout:
        return TemplateResponse(
            request, "campaigns/admin/home/people.html", context | {"patience": insights.QUERY_SECONDS}
        )
    query = request.GET.copy()
    query.pop("page", None)
    context |= {
        "rows": _order_rows(request, shown) if found.is_of_orders else _customer_rows(request, shown),
        "page": page,
        "count": paginator.count,
        "is_capped": paginator.is_capped,
        "query": query.urlencode(),
    }
    return TemplateResponse(request, "campaigns/admin/home/people.html", context)


def _order_rows(request: HttpRequest, orders: list[Any]) -> list[tuple[Customer | None, Any]]:
    customers = contact_data.customers_by_key(request, {order.customer_id for order in orders})
    return [(customers.get(order.customer_id), order) for order in orders]


def _customer_rows(request: HttpRequest, customers: list[Any]) -> list[tuple[Customer, dict[str, Any]]]:
    return [(contact_data.visible_customer(request, customer), _facts(customer)) for customer in customers]


def _facts(customer: Customer) -> dict[str, Any]:
    facts = getattr(customer, "facts", None)
    if facts is None:
        return {}
    return {
        "orders": facts.order_count,
        "spent": from_units(facts.total_spent),
        "last_activity": facts.last_activity_at,
    }


def _stage_q(slug: str) -> Q:
    try:
        return stages.members_q(stages.stored_stages(), slug)
    except LookupError:
        raise Http404 from None


def _stage_name(slug: str) -> str:
    return next((stage.name for stage in stages.stored_stages() if stage.slug == slug), "In no stage")
