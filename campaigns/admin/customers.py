"""The admin of customers, with their campaigns."""

from functools import partial
from typing import Any, Final

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, Subquery
from django.http import HttpRequest
from django.urls import URLPattern, path

from campaigns.models import Delivery, Journey
from customers.models import Customer
from segments.admin import customers as base

from . import access
from .home import people

MAX_JOURNEYS_SHOWN: Final = 20

JOURNEY_STATE_LABELS: Final = {"active": "success", "finished": "info", "stopped": "primary"}

admin.site.unregister(Customer)


@admin.register(Customer)
class CustomerAdmin(base.CustomerAdmin):
    change_form_template = "campaigns/admin/customer.html"

    def get_urls(self) -> list[URLPattern]:
        """Put the lists behind the numbers of the home page before the admin's pages."""
        view = self.admin_site.admin_view(partial(people.people_view, self))
        return [path("people/<slug:what>/", view, name="customers_customer_people"), *super().get_urls()]

    def page_context(self, request: HttpRequest, customer: Customer) -> dict[str, Any]:
        """Add the customer's campaigns for staff who may see campaigns and deliveries."""
        context = super().page_context(request, customer)
        if request.user.has_perms([access.VIEW_CAMPAIGN, access.VIEW_DELIVERY]):
            deliveries = Delivery.objects.filter(
                campaign=OuterRef("campaign"), customer=OuterRef("customer"), occasion=OuterRef("occasion")
            )
            counted = (
                deliveries.order_by().values("campaign").annotate(sent=Count("pk", filter=Q(state="sent")))
            )
            journeys = (
                Journey.objects.filter(customer=customer)
                .select_related("campaign")
                .annotate(sent=Subquery(counted.values("sent")))
                .order_by("-began_at", "-pk")[:MAX_JOURNEYS_SHOWN]
            )
            context["journeys"] = [(journey, JOURNEY_STATE_LABELS[journey.state]) for journey in journeys]
            context["sees_campaigns"] = True
        return context
