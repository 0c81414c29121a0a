"""Refreshes that somebody asks for: rows from the moment they are asked for, so that they can be followed."""

from datetime import datetime

from celery import current_app
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from core import redis
from segments.models import Refresh, Segment


class BrokerUnavailable(Exception):
    """No worker can be reached, since Redis does not answer."""


def request_refresh(segment: Segment, now: datetime) -> Refresh:
    """Queue a refresh of one segment by rule; where one waits already, that is the one. Raises BrokerUnavailable.

    To be called outside of transactions: a worker sees only what is committed.
    """
    run, is_new = _get_or_create(segment, now)
    is_first = redis.set_marker(f"segments:refresh-{run.pk}-waits")
    try:
        # Also for one that waits already, but not each time: should its message be lost, this one takes its place.
        if is_new or is_first:
            # By name: tasks know of this module, not the other way round.
            current_app.send_task("segments.tasks.refresh_segment", [segment.pk, run.pk])
    except OperationalError:
        Refresh.objects.filter(pk=run.pk, state=Refresh.State.QUEUED).delete()
        raise BrokerUnavailable from None
    return run


def _get_or_create(segment: Segment, now: datetime) -> tuple[Refresh, bool]:
    """Return the refresh that waits, and whether it is a new one."""
    waiting = Refresh.objects.filter(segment=segment, state=Refresh.State.QUEUED)
    while not (run := waiting.first()):
        try:
            with transaction.atomic():
                run = Refresh.objects.create(
                    segment=segment, state=Refresh.State.QUEUED, at=now, started_at=now
                )
                return run, True
        except IntegrityError:
            continue  # somebody else has asked at the same moment
    return run, False
