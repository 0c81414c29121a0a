"""The preview of a step for a chosen customer, and the test message to one's own address."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from campaigns.channels.registry import CHANNELS, channel_label
from campaigns.messages import rendering
from campaigns.models import Campaign, Step
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from customers.admin import contact_data
from customers.models import Customer

from .. import access, page_context
from . import recipients, self_tests
from .recipients import SAMPLE_CODE


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
        "may_see": recipients.may_see_messages(request),
        "own_address": staff_user(request).email,
    }
    if step and context["may_see"]:
        matches = recipients.search_customers(request, term) if term else []
        at = datetime.now(UTC)
        customer = (
            matches[0] if len(matches) == 1 else recipients.customer_by_key(request.GET.get("customer", ""))
        )
        shown = None
        if customer:
            shown = customer, rendering.preview(step, customer, at, coupon=SAMPLE_CODE)
        elif not term:
            shown = recipients.first_preview(campaign, step, at)
        context |= {"matches": matches if len(matches) > 1 else [], "customer": shown and shown[0]}
        if shown:
            _, preview = shown
            context["preview"] = preview
            if preview.message:
                context["preview_parts"] = CHANNELS[step.channel].preview(preview.message)
    return TemplateResponse(request, "campaigns/admin/preview.html", context)


@require_permissions(
    access.VIEW_CAMPAIGN,
    access.CHANGE_CAMPAIGN,
    *recipients.SEE_MESSAGES,
    methods=WRITE_METHODS,
)
def send_test(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Send the message, as the customer would get it, to the user's own address."""
    campaign = get_object_or_404(Campaign, pk=pk)
    number = recipients.key_from(request.POST.get("step", ""))
    step = get_object_or_404(Step, campaign=campaign, number=min(number, 32_767))
    customer = get_object_or_404(
        Customer.objects.existing(), pk=recipients.key_from(request.POST.get("customer", ""))
    )
    preview = rendering.preview(step, customer, datetime.now(UTC), coupon=SAMPLE_CODE)
    sent = self_tests.send_to_oneself(request, campaign, preview, f"step {step.number}")
    (messages.success if sent.is_sent else messages.error)(request, sent.text)
    address = reverse("admin:campaigns_campaign_preview", args=[pk])
    return redirect(f"{address}?step={step.number}&customer={customer.pk}")
