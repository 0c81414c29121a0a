"""Celery for a test that moves the clock: a task begins at the instant that the test has written down.

Everything around tasks (Redis, schedules, leases of processes) runs in real time.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import time_machine
from celery.signals import task_postrun, task_prerun

from core import redis
from segments_project.celery import app

CLOCK = "SEGMENTS_TEST_CLOCK"
ENDED = "tests:a-task-ended"
"""A list in Redis that grows by each task that ended, for a test to wait for."""
__all__ = ["CLOCK", "ENDED", "app"]

_travels: dict[str, time_machine.travel] = {}


@task_prerun.connect
def move_clock(task_id: str, **_: Any) -> None:
    now = datetime.fromisoformat(Path(os.environ[CLOCK]).read_text())
    _travels[task_id] = time_machine.travel(now, tick=False)
    _travels[task_id].start()


@task_postrun.connect
def restore_clock(task_id: str, **_: Any) -> None:
    _travels.pop(task_id).stop()
    redis.call_redis(lambda client: client.rpush(ENDED, 1))
