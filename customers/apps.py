"""The app of customers and their records."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CustomersConfig(AppConfig):
    """Customers, orders, events, and the facts that sum them up."""

    name = "customers"
    verbose_name = "Customers"

    def ready(self) -> None:
        """Let what was told by messages follow orders, and be told and erased with the customer."""
        # Models must be loaded before.
        from . import imports, ingestion, planner_statistics, privacy  # noqa: PLC0415
        from .tracking import orders, personal  # noqa: PLC0415

        connection_created.connect(planner_statistics.watch_new)
        ingestion.let_follow(orders.confirm)
        privacy.register("tracking", personal.SECTION)
        privacy.register("imports", imports.SECTION)
