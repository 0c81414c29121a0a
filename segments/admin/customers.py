"""The customers' admin, with their segments: which ones they are in, why, and what changed."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from customers.admin import customer as base
from customers.models import Customer
from segments import fixed_lists
from segments.models import Segment

from . import explanations, live_visitors, membership_periods
from .access import CHANGE_SEGMENT, VIEW_SEGMENT
from .forms import ChooseFixedListForm
from .members import log_list_change
from .page_context import admin_context

admin.site.unregister(Customer)


@admin.register(Customer)
class CustomerAdmin(base.CustomerAdmin):
    """The admin of customers, with segments."""

    change_form_template = "segments/admin/customer.html"
    actions = ("put_on_list",)

    def get_urls(self) -> list[URLPattern]:
        """Put this app's pages before the admin's, whose URLs match any text as a key."""
        return [
            path(address, self.admin_site.admin_view(partial(view, self)), name=f"customers_customer_{name}")
            for address, view, name in (
                ("live/", live_visitors.live_visitors_view, "live"),
                ("<int:pk>/explanation/", explanations.explanations_view, "explain"),
            )
        ] + super().get_urls()

    def page_context(self, request: HttpRequest, customer: Customer) -> dict[str, Any]:
        """Add the segments to the customer's page, for staff who may see segments."""
        context = super().page_context(request, customer)
        if request.user.has_perm(VIEW_SEGMENT):
            periods = membership_periods.periods_of_customer(customer)
            inside = [period.segment for period in periods.now if period.segment.is_dynamic]
            explained = explanations.explain_segments(request, customer, inside, datetime.now(UTC))
            ahead = {one.segment.pk: one.ahead for one in explained}
            context |= {
                "sees_segments": True,
                "periods": periods,
                "now": [(period, ahead.get(period.segment.pk, "")) for period in periods.now],
            }
        return context

    def has_change_lists_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may edit fixed lists. The action's ``permissions`` refer to this."""
        return request.user.has_perms([VIEW_SEGMENT, CHANGE_SEGMENT])

    @admin.action(description="Add to a fixed list …", permissions=["change_lists"])
    def put_on_list(self, request: HttpRequest, queryset: QuerySet[Customer]) -> HttpResponse | None:
        """Ask for the list, then add the selected customers to it."""
        ticked = [
            key for key in request.POST.getlist(ACTION_CHECKBOX_NAME) if key.isascii() and key.isdigit()
        ]
        # Only the rows of the page, even if “select all” was chosen: nobody adds a million customers by hand.
        keys = list(Customer.objects.existing().filter(pk__in=ticked[:1_000]).values_list("pk", flat=True))
        form = ChooseFixedListForm(request.POST if "segment" in request.POST else None)
        if form.is_valid():
            segment = form.cleaned_data["segment"]
            outcome = fixed_lists.add_customers(segment, keys, datetime.now(UTC))
            log_list_change(request, segment, outcome)
            messages.success(
                request, f"{outcome.entered:,} added to {segment.name}; it has {outcome.size:,} members now."
            )
            return None
        context = admin_context(self, request, "Add to a fixed list")
        context |= {
            "form": form,
            "keys": keys,
            "has_lists": Segment.objects.filter(kind=Segment.Kind.STATIC).exists(),
        }
        return TemplateResponse(request, "segments/admin/put_on_list.html", context)
