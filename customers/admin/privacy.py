"""Exporting and erasing one customer's data, and the list of erasures, which names no customers."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from unfold.decorators import display

from core.admin import audit_log
from core.admin.capped_lists import ReadOnlyAdmin
from core.templatetags.display import moment, number
from customers.models import Customer, Erasure
from customers.privacy import personal_data

from . import contact_data

EXPORT, ERASE = "customers.export_customer", "customers.add_erasure"


def may_export(request: HttpRequest) -> bool:
    return request.user.has_perms([EXPORT, contact_data.VIEW_CONTACT_DATA])


def may_erase(request: HttpRequest) -> bool:
    return request.user.has_perms([ERASE, contact_data.VIEW_CONTACT_DATA])


def export(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    if not may_export(request):
        raise PermissionDenied
    customer = get_object_or_404(Customer.objects.existing(), pk=pk)
    data = personal_data.export_customer(customer, datetime.now(UTC))
    audit_log.log_changes(request, [customer], "Exported all data.")
    name = re.sub(r"[^\w.-]+", "-", customer.customer_id, flags=re.ASCII).strip("-") or str(customer.pk)
    body = json.dumps(data, ensure_ascii=False, indent=2)
    response = HttpResponse(body, content_type="application/json; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="customer-{name}.json"'
    return response


def erase(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the user to type the id as confirmation, then erase the customer."""
    if not may_erase(request):
        raise PermissionDenied
    customer = get_object_or_404(Customer.objects.existing(), pk=pk)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Erase a customer",
        "opts": model_admin.opts,
        "original": customer,
        "customer": customer,
        "orders": customer.orders.count(),
        "events": customer.events.count(),
        "others": personal_data.customers_sharing_addresses(customer),
    }
    if request.method == "POST":
        if request.POST.get("typed", "").strip() != customer.customer_id:
            context["problem"] = f"The id does not match. Type {customer.customer_id}"
        else:
            return _erased(request, customer)
    return TemplateResponse(request, "customers/admin/erase.html", context)


def _erased(request: HttpRequest, customer: Customer) -> HttpResponse:
    others = personal_data.customers_sharing_addresses(customer)
    try:
        done = personal_data.erase_customer(customer, datetime.now(UTC), by=request.user.get_username())
    except personal_data.AlreadyErased:
        messages.warning(request, "This customer has already been erased.")
    else:
        audit_log.log_additions(request, [done], "Erased a customer.")
        messages.success(
            request,
            f"The customer was erased, with {done.orders:,} orders and {done.events:,} events."
            " If the shop sends this data again, it is ignored.",
        )
        if others:
            messages.warning(
                request,
                f"Not erased, although they have the same e-mail address or phone number: {', '.join(others)}.",
            )
    return redirect("admin:customers_customer_changelist")


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """The list of erasures."""

    list_display = ("when", "by", "orders_", "events_")
    list_display_links = None
    list_before_template = "customers/admin/no_erasures.html"
    fields = ("when", "by", "orders_", "events_")
    readonly_fields = fields

    @display(description="Erased")
    def when(self, erasure: Erasure) -> str:
        return moment(erasure.at)

    @display(description="Orders")
    def orders_(self, erasure: Erasure) -> str:
        return number(erasure.orders)

    @display(description="Events")
    def events_(self, erasure: Erasure) -> str:
        return number(erasure.events)
