"""The app that the other apps build on."""

from celery.signals import task_prerun
from django.apps import AppConfig
from django.core.signals import request_started
from django.db.backends.signals import connection_created

from .db import lookups, planner_statistics


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        """Register our lookups, analyze temporary tables on each new connection, and read the shop for each task."""
        # Imported here because models must be loaded first.
        from .shop import enter_shop_time, forget_shop, leave_shop  # noqa: PLC0415

        lookups.register_lookups()
        connection_created.connect(planner_statistics.install_statistics_wrapper)
        request_started.connect(leave_shop)
        task_prerun.connect(forget_shop)  # a task may follow from a change of the shop
        task_prerun.connect(enter_shop_time)
