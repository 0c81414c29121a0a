"""The app of segments and their members."""

from django.apps import AppConfig

from customers import news


class SegmentsConfig(AppConfig):
    """Rules, segments, members and their changes."""

    name = "segments"
    verbose_name = "Segments"

    def ready(self) -> None:
        """Let what is recorded send for a pass, and members be told and erased with the customer."""
        # Models must be loaded before.
        from customers import privacy  # noqa: PLC0415

        from . import personal, waking  # noqa: PLC0415

        news.recorded.connect(waking.wake, dispatch_uid="send for a pass")
        privacy.register("segments", personal.SECTION)
