"""The list of customers, and the page of one customer. The pages are read-only: ingestion writes customers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.formats import date_format
from django.utils.html import format_html
from unfold.decorators import display

from core.admin.capped_lists import MAX_COUNTED_ROWS, CappedChangeList, ReadOnlyAdmin
from core.templatetags.display import amount, moment
from core.values.decimals import from_units
from customers.facts.relations import prepare_relation_for
from customers.models import Customer

from . import contact_data, facts, privacy, timeline

MAX_IDENTITIES, MAX_CONSENTS = 50, 20
STOPPED = "The search took too long and was stopped. There may be more customers: enter more letters."


class KnownFilter(admin.SimpleListFilter):
    """Known or anonymous. Both queries use an index, which matters if one of the two is rare."""

    title = "contact"
    parameter_name = "known"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Known (e-mail or phone)"), ("no", "Anonymous")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Customer]) -> QuerySet[Customer]:
        match self.value():
            case "yes":
                return queryset.filter(Customer.objects.known_q())
            case "no":
                return queryset.filter(email="", phone="")
        return queryset


class CustomerList(CappedChangeList):
    """The list of customers: known ones first, with contact data masked for users who may not see it."""

    queryset: Any

    def get_results(self, request: HttpRequest) -> None:
        """List the newest known customers, then the newest visitors, up to the cap. No table is sorted for it."""
        found = self.queryset.order_by("-pk").values_list("pk", flat=True)
        keys = list(found.filter(Customer.objects.known_q())[:MAX_COUNTED_ROWS])
        keys += found.filter(email="", phone="")[: MAX_COUNTED_ROWS - len(keys)]
        self.queryset = self.queryset.filter(pk__one_of=keys).known_first()
        super().get_results(request)
        self.result_list = [contact_data.visible_customer(request, customer) for customer in self.result_list]
        self.search_help_text = contact_data.search_help(request)


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    """The list of customers and the page of one."""

    list_display = ("who", "email", "phone", "country", "consent", "orders", "spent", "last_activity")
    list_select_related = ("facts",)
    list_filter = (KnownFilter,)
    list_before_template = "customers/admin/no_customers.html"
    list_per_page = 50
    search_fields = ("customer_id",)
    fields = ("customer_id",)
    change_form_template = "customers/admin/customer.html"

    def get_urls(self) -> list[URLPattern]:
        """Add our own pages before Django's, whose pattern matches any text."""
        return [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"customers_customer_{name}")
            for name, view in (
                ("timeline", self.timeline_view),
                ("export", partial(privacy.export, self)),
                ("erase", partial(privacy.erase, self)),
            )
        ] + super().get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        """Exclude profiles that were merged into others."""
        return super().get_queryset(request).existing()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Customer], search_term: str
    ) -> tuple[QuerySet[Customer], bool]:
        """List as many customers as the pages of a list show. If the time is over before, say so."""
        if not search_term.strip():
            return queryset, False
        found = contact_data.find_customers(request, search_term, MAX_COUNTED_ROWS)
        if not found.is_complete:
            messages.warning(request, STOPPED)
        return queryset.filter(pk__in=found.keys), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CustomerList]:
        return CustomerList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Customer | None:
        customer = super().get_object(request, object_id, from_field)
        return customer and contact_data.visible_customer(request, customer)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Show the customer. A merged profile redirects to the remaining one."""
        if object_id.isascii() and object_id.isdigit() and len(object_id) < 19:
            merged_into = (
                Customer.objects.filter(pk=object_id).values_list("merged_into_id", flat=True).first()
            )
            if merged_into and self.has_view_permission(request):
                return redirect(f"{self.admin_site.name}:customers_customer_change", merged_into)
        return super().change_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: Customer | None = None, **kwargs: Any
    ):
        assert obj is not None
        context |= {"customer": obj, "title": obj.name, "subtitle": "", **self.page_context(request, obj)}
        return super().render_change_form(request, context, obj=obj, **kwargs)

    def page_context(self, request: HttpRequest, customer: Customer) -> dict[str, Any]:
        one = Customer.objects.filter(pk=customer.pk).values("pk")
        # Include records whose facts have not been updated yet.
        current_facts = facts.facts_by_customer([customer.pk], prepare_relation_for(one, datetime.now(UTC)))
        current = current_facts.get(customer.pk)
        identities = customer.identities.order_by("kind", "pk")[:MAX_IDENTITIES]
        for identity in identities:
            identity.value = contact_data.visible_identity(request, identity)
        return {
            "contact": [(label, value) for label, value in _contact_rows(request, customer) if value],
            "identities": identities,
            "highlights": list(facts.highlights(current)) if current else [],
            "facts": list(facts.displayed_facts(current)) if current else [],
            "timeline": _timeline(request, customer),
            "consents": customer.consent_changes.order_by("-pk")[:MAX_CONSENTS],
            "may_export": privacy.may_export(request),
            "may_erase": privacy.may_erase(request),
        }

    def timeline_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return a part of the timeline, for htmx."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        customer = get_object_or_404(self.get_queryset(request), pk=pk)
        context = {"customer": customer, "timeline": _timeline(request, customer)}
        is_more = "before" in request.GET
        template = "timeline_visits.html" if is_more else "timeline.html"
        return TemplateResponse(request, f"customers/admin/{template}", context)

    @display(description="Customer")
    def who(self, customer: Customer) -> str:
        below = customer.readable_id
        return format_html(
            '<span class="stacked"><span>{}</span><small>{}</small></span>', customer.name, below
        )

    @display(
        description="Newsletter",
        label={"subscribed": "success", "unsubscribed": "danger"},
    )
    def consent(self, customer: Customer) -> str | None:
        return customer.newsletter if customer.newsletter != Customer.Newsletter.NEVER else None

    @display(description="Orders")
    def orders(self, customer: Customer) -> int | None:
        return customer.facts.order_count if hasattr(customer, "facts") else None

    @display(description="Spent")
    def spent(self, customer: Customer) -> str | None:
        return amount(from_units(customer.facts.total_spent)) if hasattr(customer, "facts") else None

    @display(description="Last activity")
    def last_activity(self, customer: Customer) -> str | None:
        return moment(customer.facts.last_activity_at) if hasattr(customer, "facts") else None


def _timeline(request: HttpRequest, customer: Customer) -> timeline.Timeline:
    mask = partial(contact_data.visible_properties, request)
    return timeline.build_timeline(customer, request.GET.get("kind", ""), request.GET.get("before", ""), mask)


def _contact_rows(request: HttpRequest, customer: Customer) -> Iterator[tuple[str, Any]]:
    born = date_format(customer.birth_date, "j M Y") if customer.birth_date else ""
    yield "Name", f"{customer.first_name} {customer.last_name}".strip()
    yield "E-mail", customer.email
    yield "Phone", customer.phone
    yield "City", customer.city
    yield "Country", customer.country
    yield "Language", customer.language
    yield "Source", customer.source
    yield "Born", contact_data.visible_birthday(request, born)
    yield "Newsletter", customer.get_newsletter_display()
    yield "Subscribed", moment(customer.subscribed_at) if customer.subscribed_at else ""
    yield "Recorded", moment(customer.recorded_at)
