"""Background work: data that is deleted after a time."""

from datetime import UTC, datetime

from celery import shared_task

from .api import idempotent_responses


@shared_task
def delete_old_idempotent_responses() -> None:
    idempotent_responses.delete_expired_responses(datetime.now(UTC))
