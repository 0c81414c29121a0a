"""The app of segments and their members."""

from django.apps import AppConfig

from customers.signals import records_changed

from .signals import members_changed


class SegmentsConfig(AppConfig):
    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        """Connect wake-ups to signals, and register the export and erasure of members."""
        # These imports need loaded models.
        from customers.privacy import personal_data  # noqa: PLC0415

        from . import wakeups  # noqa: PLC0415
        from .changes import privacy_section  # noqa: PLC0415

        records_changed.connect(wakeups.REFRESH.request, dispatch_uid="wake up the refresh")
        members_changed.connect(wakeups.request_webhooks, dispatch_uid="wake up webhooks")
        personal_data.register_section("segments", privacy_section.SECTION)
