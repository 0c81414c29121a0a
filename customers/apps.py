"""The app of customers and their records."""

from django.apps import AppConfig


class CustomersConfig(AppConfig):
    """Customers, orders, events, and the facts that sum them up."""

    name = "customers"
    verbose_name = "Customers"

    def ready(self) -> None:
        """Let what was told by messages be told and erased with the customer."""
        # Models must be loaded before.
        from . import privacy  # noqa: PLC0415
        from .tracking import personal  # noqa: PLC0415

        privacy.register("tracking", personal.SECTION)
