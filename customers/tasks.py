"""Background work on records. Each task is an edge that may run twice."""

from celery import shared_task

from .tracking import inbox


@shared_task
def drain_inbox() -> None:
    """Take the messages that wait."""
    inbox.drain()
