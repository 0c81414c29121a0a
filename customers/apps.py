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

        from .consent import follow_joins  # noqa: PLC0415
        from .identity.lookup import let_follow, let_resolve  # noqa: PLC0415
        from .imports import uploads  # noqa: PLC0415
        from .ingestion.writer import let_follow as register_order_listener  # noqa: PLC0415
        from .privacy import personal_data  # noqa: PLC0415
        from .tracking import order_messages, privacy_section, record_identities  # noqa: PLC0415

        connection_created.connect(planner_statistics.watch_connection)
        let_resolve(record_identities.RESOLVER)
        let_follow(follow_joins)
        register_order_listener(order_messages.confirm_orders)
        personal_data.register("tracking", privacy_section.SECTION)
        personal_data.register("imports", uploads.SECTION)
