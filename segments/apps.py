"""The app of segments and their members."""

from django.apps import AppConfig


class SegmentsConfig(AppConfig):
    """Rules, segments, members and their changes."""

    name = "segments"
    verbose_name = "Segments"
