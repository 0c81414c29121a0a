"""The app that the other apps build on."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from .db import planner_statistics


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        """Install the wrapper that analyzes temporary tables on each new connection."""
        connection_created.connect(planner_statistics.install_statistics_wrapper)
