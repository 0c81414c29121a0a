"""The app of customers and their records."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CustomersConfig(AppConfig):
    """Customers, orders, events, and the facts that sum them up."""

    name = "customers"
    verbose_name = "Customers"

    def ready(self) -> None:
        """Let what is said of customers be settled together, follow joins and orders, and be told and erased."""
        # Models must be loaded before.
        from . import consent, identity, imports, ingestion, planner_statistics, privacy  # noqa: PLC0415
        from .tracking import orders, personal, resolving  # noqa: PLC0415

        connection_created.connect(planner_statistics.watch_new)
        identity.let_resolve(resolving.RESOLVER)
        identity.let_follow(consent.follow_joins)
        ingestion.let_follow(orders.confirm)
        privacy.register("tracking", personal.SECTION)
        privacy.register("imports", imports.SECTION)
