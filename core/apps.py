"""The app that the other apps build on."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from .db import lookups, planner_statistics


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        """Register our lookups, and install the wrapper that analyzes temporary tables on each new connection."""
        lookups.register_lookups()
        connection_created.connect(planner_statistics.install_statistics_wrapper)
