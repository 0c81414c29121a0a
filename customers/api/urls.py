"""URLs of the API of records, below ``/api/v1/``."""

from django.urls import path

import core.http.path_converters  # noqa: F401 — names "id"

from . import views

urlpatterns = [
    path("customers/", views.CustomerListView.as_view(), name="api-customers"),
    path(
        "customers/<id:customer_id>/export/", views.CustomerExportView.as_view(), name="api-customer-export"
    ),
    path("orders/", views.OrdersView.as_view(), name="api-orders"),
    path("events/", views.EventsView.as_view(), name="api-events"),
    # Last, as an id may hold slashes.
    path("customers/<id:customer_id>/", views.CustomerDetailView.as_view(), name="api-customer"),
]
