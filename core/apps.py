"""The app below the apps."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Locks, keys, errors and the like."""

    name = "core"
