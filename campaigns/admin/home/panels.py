"""The panels of the home page that read many rows. Each is loaded by itself, with a time limit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from campaigns import suggestions
from campaigns.admin import access
from campaigns.delivery import reach
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.shop import shop
from core.templatetags.display import number, rounded_amount
from segments import insights, sales, stages
from segments.admin.access import VIEW_CUSTOMER, VIEW_SEGMENT
from segments.insights import MONTH, WEEK
from segments.models import Segment
from segments.stages import Stage

MAX_SUGGESTIONS: Final = 3


@dataclass(frozen=True)
class Figure:
    """A number of the last month and week, with its growth against the month and week before."""

    title: str
    in_month: str
    month_growth: float | None
    in_week: str
    week_growth: float | None
    url: str


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def sales_panel(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show revenue, orders and new customers of the last 30 and 7 days, and of as many days before."""
    return _panel(request, "sales", lambda: _sales_context(datetime.now(UTC)))


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def stages_panel(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show how many customers are in each stage, and what they have bought in the last 30 days."""
    now = datetime.now(UTC)
    return _panel(request, "stages", lambda: _stages_context(stages.stored_stages(), now))


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def reach_panel(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show how many customers can be written to."""
    return _panel(request, "reach", lambda: {"reach": _reach_rows(datetime.now(UTC))})


@require_permissions(VIEW_SEGMENT, access.VIEW_CAMPAIGN, methods=READ_METHODS)
def suggestions_panel(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show what the shop could do today."""
    segments = Segment.objects.exclude(refreshed_at=None).exclude(template="")
    return _panel(
        request,
        "suggestions",
        lambda: {
            "suggestions": suggestions.find_suggestions(segments, MAX_SUGGESTIONS, insights.QUERY_SECONDS),
            "may_start": request.user.has_perms([access.ADD_CAMPAIGN, access.CHANGE_CAMPAIGN]),
        },
    )


def _panel(request: HttpRequest, name: str, read: Callable[[], dict[str, Any]]) -> TemplateResponse:
    """Render a panel, or say that it takes too long."""
    context: dict[str, Any] = {
        "currency": shop().currency,
        "sees_who": request.user.has_perm(VIEW_CUSTOMER),
    }
    try:
        context |= read()
    except time_limits.StatementTimeout:
        context["patience"] = insights.QUERY_SECONDS
    return TemplateResponse(request, f"campaigns/admin/home/{name}.html", context)


def _sales_context(now: datetime) -> dict[str, Any]:
    month, week = (sales.compare_sales(now, days, insights.QUERY_SECONDS) for days in (MONTH, WEEK))
    orders, new = (
        reverse("admin:customers_customer_people", args=[what]) for what in ("orders", "new-customers")
    )
    in_month, in_week = (rounded_amount(each.now.revenue, shop().currency) for each in (month, week))
    return {
        "month": MONTH,
        "week": WEEK,
        "figures": [
            Figure("Revenue", in_month, month.revenue_growth, in_week, week.revenue_growth, orders),
            Figure(
                "Orders",
                number(month.now.orders),
                month.orders_growth,
                number(week.now.orders),
                week.orders_growth,
                orders,
            ),
            Figure(
                "New customers",
                number(month.now.new_customers),
                month.new_customers_growth,
                number(week.now.new_customers),
                week.new_customers_growth,
                new,
            ),
        ],
    }


def _stages_context(asked: list[Stage], now: datetime) -> dict[str, Any]:
    counts = stages.count_customers(asked, insights.QUERY_SECONDS)
    bands = stages.count_bands(asked, insights.QUERY_SECONDS)
    bought = sales.sales_by_stage(asked, now - timedelta(days=MONTH), now, insights.QUERY_SECONDS)
    shown = stages.in_shown_order(asked)
    if counts[stages.NO_STAGE]:
        shown.append(Stage(stages.NO_STAGE, "In no stage", {}))
    largest = max(counts.values(), default=0)
    rows = [
        _stage_row(stage, counts[stage.slug], bands.get(stage.slug, 0), bought.get(stage.slug), largest)
        for stage in shown
    ]
    return {"rows": rows, "order": [stage.name for stage in asked], "days": MONTH}


def _stage_row(
    stage: Stage, people: int, in_band: int, bought: sales.Sales | None, largest: int
) -> dict[str, Any]:
    return {
        "stage": stage,
        "people": people,
        "width": round(100 * people / largest) if largest else 0,
        "in_band": in_band,
        "sales": bought or sales.NOTHING,
    }


def _reach_rows(now: datetime) -> list[tuple[str, int, int, str]]:
    """Return each number with its words, the width of its bar and the URL of the list of people."""
    counted = reach.shop_reach(now, insights.QUERY_SECONDS)
    people = "admin:customers_customer_people"
    customers = reverse("admin:customers_customer_changelist")
    rows = (
        ("customers", counted.people, customers),
        ("known by an e-mail address or phone number", counted.known, f"{customers}?known=yes"),
        (
            "can get an e-mail: subscribed, and with an address",
            counted.reachable,
            reverse(people, args=["reachable"]),
        ),
        ("are under the weekly limit of messages", counted.under_cap, reverse(people, args=["under-limit"])),
    )
    return [
        (words, count, round(100 * count / counted.people) if counted.people else 0, url)
        for words, count, url in rows
    ]
