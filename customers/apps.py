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
        from core.db import planner_statistics  # noqa: PLC0415

        from . import consent  # noqa: PLC0415
        from .identity import lookup  # noqa: PLC0415
        from .imports import uploads  # noqa: PLC0415
        from .ingestion import writer  # noqa: PLC0415
        from .privacy import personal_data  # noqa: PLC0415
        from .tracking import order_messages, privacy_section, record_identities  # noqa: PLC0415

        connection_created.connect(planner_statistics.watch_connection)
        lookup.let_resolve(record_identities.RESOLVER)
        lookup.let_follow(consent.follow_joins)
        writer.let_follow(order_messages.confirm_orders)
        personal_data.register("tracking", privacy_section.SECTION)
        personal_data.register("imports", uploads.SECTION)
