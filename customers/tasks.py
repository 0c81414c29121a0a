"""Background work: messages and files that wait, and data that is deleted after a time. Each task may run twice."""

from datetime import UTC, datetime
from typing import Final

from celery import shared_task

from .imports import uploads
from .ingestion import attribute_dates, event_partitions
from .tracking import inbox

MAX_DRAIN_SECONDS: Final = 10.0  # seconds: other tasks have their turn, too, while more and more comes in


@shared_task
def run_imports() -> None:
    """Import the next file in the queue. Another task imports the one after it."""
    if uploads.run_next_import():
        run_imports.delay()


@shared_task
def delete_old_import_files() -> None:
    uploads.delete_old_files(datetime.now(UTC))


@shared_task
def maintain_event_partitions() -> None:
    event_partitions.maintain(datetime.now(UTC))


@shared_task
def drain_inbox() -> None:
    inbox.drain(MAX_DRAIN_SECONDS)


@shared_task
def delete_old_refused_messages() -> None:
    inbox.delete_expired_refused(datetime.now(UTC))


@shared_task
def reread_dates_of_attributes() -> None:
    attribute_dates.reread_dates()
