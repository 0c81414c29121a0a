"""The app of customers and their records."""

from django.apps import AppConfig


class CustomersConfig(AppConfig):
    """Customers, orders, events, and the facts that sum them up."""

    name = "customers"
    verbose_name = "Customers"

    def ready(self) -> None:
        """Register what the packages of this app need of each other at run time."""
        # Models must be loaded before.
        from .consent.states import update_consent_after_merge  # noqa: PLC0415
        from .identity.merging import register_merge_listener  # noqa: PLC0415
        from .identity.resolver import register_resolver  # noqa: PLC0415
        from .imports import privacy_section as imports_privacy_section  # noqa: PLC0415
        from .ingestion.writer import register_order_listener  # noqa: PLC0415
        from .privacy import personal_data  # noqa: PLC0415
        from .tracking import order_messages, record_identities  # noqa: PLC0415
        from .tracking import privacy_section as tracking_privacy_section  # noqa: PLC0415

        register_resolver(record_identities.RESOLVER)
        register_merge_listener(update_consent_after_merge)
        register_order_listener(order_messages.confirm_orders)
        personal_data.register_section("tracking", tracking_privacy_section.SECTION)
        personal_data.register_section("imports", imports_privacy_section.SECTION)
