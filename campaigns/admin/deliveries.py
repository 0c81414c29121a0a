"""The messages of a campaign: to whom, in which state, and why a message was not sent."""

from datetime import date, datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from campaigns.models import Campaign, Delivery
from core.admin.charts import short_date
from core.admin.day_field import DayField
from core.admin.permissions import READ_METHODS, require_permissions
from customers.admin import contact_data
from segments.admin.access import VIEW_CUSTOMER
from segments.evaluation.context import shop_zone

from . import access, page_context

PAGE_SIZE: Final = 50
MAX_KEY: Final = 2**63 - 1
DELIVERY_STATE_LABELS: Final = {
    Delivery.State.PLANNED.value: "info",
    Delivery.State.SENDING.value: "info",
    Delivery.State.SENT.value: "success",
    Delivery.State.WRITTEN.value: "warning",
    Delivery.State.FAILED.value: "danger",
    Delivery.State.HELD_BACK.value: "warning",
}


class DeliveryFilterForm(forms.Form):
    """The state or the day to show, and the key before which the page starts."""

    state = forms.ChoiceField(required=False, choices=Delivery.State.choices)
    sent = DayField()
    clicked = DayField()
    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_KEY)


@require_permissions(access.VIEW_CAMPAIGN, access.VIEW_DELIVERY, VIEW_CUSTOMER, methods=READ_METHODS)
def deliveries_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show one page of messages, newest first."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    form = DeliveryFilterForm(request.GET)
    form.is_valid()  # an invalid value is ignored
    state, before = form.cleaned_data.get("state", ""), form.cleaned_data.get("before")
    deliveries = Delivery.objects.filter(campaign=campaign)
    if state:
        deliveries = deliveries.filter(state=state)
    days = {name: day for name in ("sent", "clicked") if (day := form.cleaned_data.get(name))}
    for name, day in days.items():
        deliveries = deliveries.filter(**_on_day(f"{name}_at", day))
    if before:
        deliveries = deliveries.filter(pk__lt=before)
    rows = list(deliveries.select_related("step").order_by("-pk")[: PAGE_SIZE + 1])
    shown = rows[:PAGE_SIZE]
    customers = contact_data.customers_by_key(request, {delivery.customer_id for delivery in shown})
    shown = [delivery for delivery in shown if delivery.customer_id in customers]
    for delivery in shown:
        delivery.customer = customers[delivery.customer_id]
        if not contact_data.may_see(request):  # the response of a mail server can contain addresses
            delivery.reason = contact_data.redact_text(delivery.reason)
    query = request.GET.copy()
    if len(rows) > PAGE_SIZE:
        query["before"] = str(shown[-1].pk)
    context = page_context.campaign_page_context(model_admin, request, campaign, "deliveries") | {
        "deliveries": [(delivery, DELIVERY_STATE_LABELS[delivery.state]) for delivery in shown],
        "states": Delivery.State.choices,
        "state": state,
        "days": [(name, f"{short_date(day)} {day.year}") for name, day in days.items()],
        "is_first": not before,
        "next": f"?{query.urlencode()}" if len(rows) > PAGE_SIZE else "",
    }
    return TemplateResponse(request, "campaigns/admin/deliveries.html", context)


def _on_day(column: str, day: date) -> dict[str, datetime]:
    """Return the filter of a day in the shop's time zone."""
    start, end = (datetime.combine(each, time(), shop_zone()) for each in (day, day + timedelta(days=1)))
    return {f"{column}__gte": start, f"{column}__lt": end}
