"""The app of segments and their members."""

from django.apps import AppConfig

from customers import news


class SegmentsConfig(AppConfig):
    """Rules, segments, members and their changes."""

    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        """Let what is recorded send for a pass."""
        from . import waking  # noqa: PLC0415 — models must be loaded before

        news.recorded.connect(waking.wake, dispatch_uid="send for a pass")
