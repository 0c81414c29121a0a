"""Background work: messages and files that wait, what is kept for a time. Each task is an edge that may run twice."""

from datetime import UTC, datetime
from typing import Final

from celery import shared_task

from core.api import idempotent_responses

from .imports import uploads
from .tracking import inbox

MAX_DRAIN_SECONDS: Final = 10.0  # seconds: other tasks have their turn, too, while more and more comes in


@shared_task
def run_imports() -> None:
    """Import the file whose turn it is; another task does the next one."""
    if uploads.run_next_import():
        run_imports.delay()


@shared_task
def delete_old_import_files() -> None:
    """Delete the files of imports that are over for long."""
    uploads.delete_old_files(datetime.now(UTC))


@shared_task
def drain_inbox() -> None:
    """Take the messages that wait."""
    inbox.drain(MAX_DRAIN_SECONDS)


@shared_task
def delete_old_refused_messages() -> None:
    """Delete the refused messages that were kept for long enough."""
    inbox.delete_expired_refused(datetime.now(UTC))


@shared_task
def delete_old_idempotent_responses() -> None:
    """Delete the answers that nobody can ask for again."""
    idempotent_responses.delete_expired_responses(datetime.now(UTC))
