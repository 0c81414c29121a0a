"""The app of segments and their members."""

from django.apps import AppConfig

from customers import news

from .news import changed


class SegmentsConfig(AppConfig):
    """Rules, segments, members and their changes."""

    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        """Let what is recorded send for a pass, what changes for webhooks, and members be erased with the customer."""
        # Models must be loaded before.
        from customers import privacy  # noqa: PLC0415

        from . import personal, waking  # noqa: PLC0415
        from .webhooks.waking import wake_if_somebody_listens  # noqa: PLC0415

        news.recorded.connect(waking.wake, dispatch_uid="send for a pass")
        changed.connect(wake_if_somebody_listens, dispatch_uid="send for webhooks")
        privacy.register("segments", personal.SECTION)
