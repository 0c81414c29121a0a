"""The app of segments and their members."""

from django.apps import AppConfig

from customers.signals import records_changed

from .signals import members_changed


class SegmentsConfig(AppConfig):
    """Rules, segments, members and their changes."""

    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        """Let what is recorded send for a pass, what changes for webhooks, and members be erased with the customer."""
        # Models must be loaded before.
        from customers.privacy import personal_data  # noqa: PLC0415

        from . import wakeups  # noqa: PLC0415
        from .changes import privacy_section  # noqa: PLC0415

        records_changed.connect(wakeups.REFRESH.request, dispatch_uid="send for a pass")
        members_changed.connect(wakeups.request_webhooks, dispatch_uid="send for webhooks")
        personal_data.register_section("segments", privacy_section.SECTION)
