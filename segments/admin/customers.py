"""The customer's page, with what segments know of them: where they are in, why, and what changed."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from customers.admin import contact
from customers.admin import customer as base
from customers.models import Customer
from segments import evaluation, explanation, fixed_lists
from segments.explanation import Explanation
from segments.models import Change, Membership, Segment
from segments.rules import RuleError, parse

from .access import CHANGE, SEE, SEE_CUSTOMERS, needs
from .forms import ChooseListForm
from .members import note_on_list
from .pages import ours

CHANGES_SHOWN, SEGMENTS_SHOWN = 20, 200

admin.site.unregister(Customer)


@admin.register(Customer)
class CustomerAdmin(base.CustomerAdmin):
    """The customers' admin, with segments."""

    change_form_template = "segments/admin/customer.html"
    actions = ("put_on_list",)

    def get_urls(self) -> list[URLPattern]:
        """Add the explanation before the admin's own pages, which take any text for a key."""
        explained = self.admin_site.admin_view(partial(explain, self))
        return [
            path("<int:pk>/explanation/", explained, name="customers_customer_explain"),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, customer: Customer) -> dict[str, Any]:
        """Add the segments to the customer's page, for those who may see them."""
        context = super().page_context(request, customer)
        if request.user.has_perm(SEE):
            memberships = Membership.objects.filter(customer=customer).select_related("segment")
            changes = Change.objects.filter(customer=customer).select_related("segment")
            context |= {
                "sees_segments": True,
                "memberships": memberships.order_by("segment__name", "segment_id")[:SEGMENTS_SHOWN],
                "changes": changes.order_by("-pk")[:CHANGES_SHOWN],
                "choices": Segment.objects.values_list("slug", "name").order_by("name")[: SEGMENTS_SHOWN * 5],
            }
        return context

    def has_change_lists_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may write fixed lists."""
        return request.user.has_perms([SEE, CHANGE])

    @admin.action(description="Add to a fixed list …", permissions=["change_lists"])
    def put_on_list(self, request: HttpRequest, queryset: QuerySet[Customer]) -> HttpResponse | None:
        """Ask for the list, then put the ticked customers on it."""
        ticked = [
            key for key in request.POST.getlist(ACTION_CHECKBOX_NAME) if key.isascii() and key.isdigit()
        ]
        # Those of the page, never "all": nobody means to put a million on a list by hand.
        keys = list(Customer.objects.existing().filter(pk__in=ticked[:1_000]).values_list("pk", flat=True))
        form = ChooseListForm(request.POST if "segment" in request.POST else None)
        if form.is_valid():
            segment = form.cleaned_data["segment"]
            outcome = fixed_lists.add(segment, keys, datetime.now(UTC))
            note_on_list(request, segment, outcome)
            messages.success(
                request, f"{outcome.entered:,} added to {segment.name}; it has {outcome.size:,} members now."
            )
            return None
        context = ours(self, request, "Add to a fixed list")
        context |= {
            "form": form,
            "keys": keys,
            "has_lists": Segment.objects.filter(kind=Segment.Kind.STATIC).exists(),
        }
        return TemplateResponse(request, "segments/admin/put_on_list.html", context)


@needs(SEE, SEE_CUSTOMERS)
def explain(model_admin: CustomerAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Show why the customer is in the chosen segment or not, as of now."""
    customer = contact.seen_by(request, get_object_or_404(Customer.objects.existing(), pk=pk))
    segment = Segment.objects.filter(slug=request.GET.get("segment", "")[:200].replace("\x00", "")).first()
    context = ours(model_admin, request, "Why in, why not")
    context |= {
        "original": customer,
        "customer": customer,
        "segment": segment,
        "choices": Segment.objects.values_list("slug", "name").order_by("name"),
    }
    if segment:
        members = Membership.objects.filter(customer=customer, segment=segment)
        context["entered_at"] = members.values_list("entered_at", flat=True).first()
        tree, problem = _explained(request, segment, customer)
        context |= {"tree": [tree] if tree else [], "problem": problem}
    return TemplateResponse(request, "segments/admin/explanation.html", context)


def _explained(request: HttpRequest, segment: Segment, customer: Customer) -> tuple[Explanation | None, str]:
    if not segment.is_dynamic:
        return None, "This is a fixed list: staff decide who is on it, no rule does."
    try:
        now = evaluation.as_of(datetime.now(UTC))
        tree = explanation.explain(parse(segment.rule), customer, now, hidden=contact.hidden_from(request))
    except RuleError as error:
        return None, f"The rule cannot be read: {error}"
    return tree, "" if tree else "All that is known of the customer lies in the future."
