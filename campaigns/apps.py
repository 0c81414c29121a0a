"""The app's name, and what it follows."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig

from segments.signals import members_changed

from . import wakeups


class CampaignsConfig(AppConfig):
    """Campaigns, their messages and results."""

    name = "campaigns"

    def ready(self) -> None:
        """Let changes send for a run, and what is kept of a customer be joined, told and erased with them."""
        # Models must be loaded before.
        from customers import identity, privacy  # noqa: PLC0415
        from customers.tracking import confirmations  # noqa: PLC0415

        from . import bounces, coupons, journeys, personal  # noqa: PLC0415

        members_changed.connect(wakeups.CAMPAIGNS.request, dispatch_uid="carry out campaigns")
        confirmations.asked.connect(wakeups.CAMPAIGNS.request, dispatch_uid="ask addresses")
        identity.let_follow(journeys.follow_joins)
        identity.let_follow(coupons.follow_joins)
        privacy.register("campaigns", personal.SECTION)
        if find_spec("anymail"):
            import_module("anymail.signals").tracking.connect(
                bounces.note_event, dispatch_uid="suppress bounces"
            )
