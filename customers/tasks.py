"""Background work: messages and files that wait, what is kept for a time. Each task is an edge that may run twice."""

from datetime import UTC, datetime

from celery import shared_task

from . import answers, imports
from .tracking import inbox


@shared_task
def run_imports() -> None:
    """Import the file whose turn it is; another task does the next one."""
    if imports.run_next():
        run_imports.delay()


@shared_task
def forget_import_files() -> None:
    """Delete the files of imports that are over for long."""
    imports.forget_files(datetime.now(UTC))


@shared_task
def drain_inbox() -> None:
    """Take the messages that wait."""
    inbox.drain()


@shared_task
def forget_answers() -> None:
    """Delete the answers that nobody can ask for again."""
    answers.forget(datetime.now(UTC))
