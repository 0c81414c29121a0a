"""The addresses of the shop's records, below ``/api/v1/``."""

from django.urls import path

from . import views

urlpatterns = [
    path("customers/", views.CustomerList.as_view(), name="api-customers"),
    path("customers/<str:customer_id>/", views.CustomerDetail.as_view(), name="api-customer"),
    path("customers/<str:customer_id>/export/", views.CustomerExport.as_view(), name="api-customer-export"),
    path("orders/", views.Orders.as_view(), name="api-orders"),
    path("events/", views.Events.as_view(), name="api-events"),
]
