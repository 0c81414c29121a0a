"""The preview of a step for a chosen customer, and the test message to one's own address."""

from datetime import UTC, datetime
from typing import Any, Final

import structlog
from django.contrib import messages
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from campaigns.channels.registry import CHANNELS, channel_label
from campaigns.messages import rendering
from campaigns.models import Campaign, Step
from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from core.shop import shop
from customers.admin import contact_data
from customers.models import Customer
from segments.admin.access import VIEW_CUSTOMER

from . import access, page_context

log = structlog.get_logger(__name__)

MAX_CUSTOMERS_FOUND: Final = 10
SAMPLE_CODE: Final = "SAMPLE-CODE"
"""Replaces the coupon code in previews, which use up no code."""


@require_permissions(access.VIEW_CAMPAIGN, methods=READ_METHODS)
def preview_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show a step's message for a customer, or its template to staff who may not see contact data."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    context = page_context.campaign_page_context(model_admin, request, campaign, "preview")
    step = page_context.requested_step(request, context["steps"])
    term = request.GET.get("q", "").strip()[:300]
    context |= {
        "step": step,
        "channel": channel_label(step.channel) if step else "",
        "term": term,
        "search_help": contact_data.search_help(request),
        "may_see": _may_see_messages(request),
        "own_address": staff_user(request).email,
    }
    if step and context["may_see"]:
        matches = _search_customers(request, term) if term else []
        customer = (
            matches[0]
            if len(matches) == 1
            else _requested_customer(request) or (None if term else _any_member(campaign))
        )
        context |= {"matches": matches if len(matches) > 1 else [], "customer": customer}
        if customer:
            preview = rendering.preview(step, customer, datetime.now(UTC), coupon=SAMPLE_CODE)
            context["preview"] = preview
            if preview.message:
                context["preview_parts"] = CHANNELS[step.channel].preview(preview.message)
    return TemplateResponse(request, "campaigns/admin/preview.html", context)


@require_permissions(
    access.VIEW_CAMPAIGN,
    access.CHANGE_CAMPAIGN,
    contact_data.VIEW_CONTACT_DATA,
    VIEW_CUSTOMER,
    methods=WRITE_METHODS,
)
def send_test(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Send the message, as the customer would get it, to the user's own address."""
    campaign = get_object_or_404(Campaign, pk=pk)
    number = _key_from(request.POST.get("step", ""))
    step = get_object_or_404(Step, campaign=campaign, number=min(number, 32_767))
    customer = get_object_or_404(Customer.objects.existing(), pk=_key_from(request.POST.get("customer", "")))
    to = staff_user(request).email
    preview = rendering.preview(step, customer, datetime.now(UTC), coupon=SAMPLE_CODE)
    if not to:
        messages.error(request, "Your account has no e-mail address. Ask an administrator to add it.")
    elif preview.message is None:
        messages.error(request, f"Nothing was sent: {' '.join(preview.problems)}")
    else:
        subject = f"Test: {' '.join(preview.message.subject.split()) or campaign.name}"
        mail = EmailMultiAlternatives(subject, preview.message.text, shop().sender, [to])
        if preview.message.html:
            mail.attach_alternative(preview.message.html, "text/html")
        try:
            mail.send()
        except OSError as error:  # smtplib's errors are OSErrors, too
            log.warning("test_not_sent", campaign=pk, error=repr(error))
            messages.error(request, "The mail server did not accept the message. The server's log says why.")
        else:
            audit_log.log_changes(
                request, [campaign], f"Sent step {step.number} as a test to their own address."
            )
            messages.success(request, f"Step {step.number} was sent to {to}.")
    address = reverse("admin:campaigns_campaign_preview", args=[pk])
    return redirect(f"{address}?step={step.number}&customer={customer.pk}")


def _may_see_messages(request: HttpRequest) -> bool:
    return contact_data.may_see(request) and request.user.has_perm(VIEW_CUSTOMER)


def _search_customers(request: HttpRequest, term: str) -> list[Customer]:
    found = contact_data.find_customers(request, term, MAX_CUSTOMERS_FOUND)
    return list(Customer.objects.filter(pk__in=found.keys).select_related("facts").known_first())


def _requested_customer(request: HttpRequest) -> Customer | None:
    return Customer.objects.existing().filter(pk=_key_from(request.GET.get("customer", ""))).first()


def _any_member(campaign: Campaign) -> Customer | None:
    """Return a member, so that the page shows a message before anybody searches."""
    members = campaign.segment.memberships.select_related("customer")
    first = (
        members.filter(is_known=True).order_by("customer_id").first()
        or members.order_by("customer_id").first()
    )
    return first.customer if first else Customer.objects.existing().order_by("pk").first()


def _key_from(given: str) -> int:
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0
