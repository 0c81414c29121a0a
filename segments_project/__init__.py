"""The wiring: settings, tasks, addresses and processes; imports the apps and is imported by none of them."""

from .celery import app as celery_app

__all__ = ["celery_app"]
__version__ = "0.2.0"
