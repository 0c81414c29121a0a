"""Requested refreshes. A request is a row at once, so that its state can be followed."""

from datetime import datetime

from celery import current_app
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from core import redis
from segments.models import Refresh, Segment


class BrokerUnavailable(Exception):
    """Redis does not answer, so no worker can be reached."""


def request_refresh(segment: Segment, at: datetime) -> Refresh:
    """Queue a refresh of one segment, or return the one that waits already. Raises BrokerUnavailable.

    Call it outside transactions, since a worker sees only committed rows.
    """
    run, is_new = _get_or_create(segment, at)
    is_first = redis.set_marker(f"segments:refresh-{run.pk}-waits")
    try:
        # A refresh that waits already is sent again now and then, in case its message was lost.
        if is_new or is_first:
            # By name, since the module of tasks imports this one.
            current_app.send_task("segments.tasks.refresh_segment", [segment.pk, run.pk])
    except OperationalError:
        Refresh.objects.filter(pk=run.pk, state=Refresh.State.QUEUED).delete()
        raise BrokerUnavailable from None
    return run


def _get_or_create(segment: Segment, at: datetime) -> tuple[Refresh, bool]:
    """Return the queued refresh, and whether it is new."""
    waiting = Refresh.objects.filter(segment=segment, state=Refresh.State.QUEUED)
    while not (run := waiting.first()):
        try:
            with transaction.atomic():
                run = Refresh.objects.create(
                    segment=segment, state=Refresh.State.QUEUED, at=at, started_at=at
                )
                return run, True
        except IntegrityError:
            continue  # another request came at the same moment
    return run, False
