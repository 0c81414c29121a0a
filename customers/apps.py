"""The app of customers and their records."""

from django.apps import AppConfig


class CustomersConfig(AppConfig):
    """Customers, orders, events, and the facts that sum them up."""

    name = "customers"
    verbose_name = "Customers"
