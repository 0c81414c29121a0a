"""Installs declared roles and schedules after each migration of the database."""

from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate

from .roles import Role, install_roles
from .schedules import Schedule, install_schedules


def install_after_migrate(roles: Iterable[Role], schedules: Iterable[Schedule]) -> None:
    """Install these after every ``migrate`` and ``flush``."""
    roles, schedules = tuple(roles), tuple(schedules)

    def install(sender: AppConfig, using: str, apps: Apps = apps, **_: Any) -> None:
        # The signal is sent once for each app, after its permissions were created: after the last app, all exist.
        # `apps` has the models of the migrated state, which can be behind the code after a partial migration.
        if sender is _last_app():
            install_roles(roles, using=using, registry=apps)
            install_schedules(schedules, using=using, registry=apps)

    post_migrate.connect(install, weak=False, dispatch_uid="install roles and schedules")


def _last_app() -> AppConfig:
    return [config for config in apps.get_app_configs() if config.models_module][-1]
