"""The app of campaigns."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """Campaigns, their messages and results."""

    name = "campaigns"

    def ready(self) -> None:
        """Let what is kept of a customer be told and erased with them."""
        # Models must be loaded before.
        from customers import privacy  # noqa: PLC0415

        from . import personal  # noqa: PLC0415

        privacy.register("campaigns", personal.SECTION)
