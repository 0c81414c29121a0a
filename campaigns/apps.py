"""The app's configuration and its signal receivers."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from segments.signals import members_changed

from . import wakeups


class CampaignsConfig(AppConfig):
    name = "campaigns"

    def ready(self) -> None:
        """Connect wake-ups, merges, privacy, bounces and the design of messages."""
        # Models must be loaded before.
        from customers.identity.merging import register_merge_listener  # noqa: PLC0415
        from customers.privacy import personal_data  # noqa: PLC0415
        from customers.tracking import double_opt_in  # noqa: PLC0415

        from . import lifecycle, privacy_section  # noqa: PLC0415
        from .coupons import coupon_pool  # noqa: PLC0415
        from .delivery import bounces  # noqa: PLC0415
        from .journeys import progress  # noqa: PLC0415

        members_changed.connect(wakeups.CAMPAIGNS.request, dispatch_uid="carry out campaigns")
        double_opt_in.confirmations_requested.connect(wakeups.CAMPAIGNS.request, dispatch_uid="ask addresses")
        post_migrate.connect(lifecycle.redesign_after_migrate, sender=self, dispatch_uid="redesign messages")
        register_merge_listener(progress.reassign_journeys)
        register_merge_listener(coupon_pool.reassign_coupons)
        personal_data.register_section("campaigns", privacy_section.SECTION)
        if find_spec("anymail"):
            import_module("anymail.signals").tracking.connect(
                bounces.handle_tracking_event, dispatch_uid="suppress bounces"
            )
