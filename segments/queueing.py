"""Refreshes that somebody asks for: rows from the moment they are asked for, so that they can be followed."""

from datetime import datetime

from celery import current_app
from django.db import IntegrityError, transaction
from kombu.exceptions import OperationalError

from .models import Refresh, Segment


class NobodyToRefresh(Exception):
    """No worker can be reached, since Redis does not answer."""


def ask(segment: Segment, now: datetime) -> Refresh:
    """Queue a refresh of one segment by rule; where one waits already, that is the one. Raises NobodyToRefresh.

    To be called outside of transactions: a worker sees only what is committed.
    """
    run = _queued(segment, now)
    try:
        # Also for one that waits already: should its message be lost, this one takes its place. By name: tasks know
        # of queueing, not the other way round.
        current_app.send_task("segments.tasks.refresh_segment", [segment.pk, run.pk])
    except OperationalError:
        Refresh.objects.filter(pk=run.pk, state=Refresh.State.QUEUED).delete()
        raise NobodyToRefresh from None
    return run


def _queued(segment: Segment, now: datetime) -> Refresh:
    waiting = Refresh.objects.filter(segment=segment, state=Refresh.State.QUEUED)
    while not (run := waiting.first()):
        try:
            with transaction.atomic():
                return Refresh.objects.create(
                    segment=segment, state=Refresh.State.QUEUED, at=now, started_at=now
                )
        except IntegrityError:
            continue  # somebody else has asked at the same moment
    return run
