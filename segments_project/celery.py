"""The Celery application; `celery -A segments_project worker` finds it here."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "segments_project.settings")

app = Celery("segments_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Do nothing: with a receiver, Celery does not replace the logging that Django has configured."""
