"""Workers killed at any moment while they compute a history: others go on, and the result is the same."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from segments import segment_store
from segments.history import runs, segment_history
from segments.history.engine import DayCount
from segments.models import HistoryRun, Segment
from segments.wakeups import HISTORY
from segments_project.celery import app
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.conftest import eventually
from tests.support import shop

LEASE = "1"
WORKER = "celery --quiet -A segments_project worker --pool solo --queues counts"
WORKER += " --without-gossip --without-mingle --without-heartbeat"


@pytest.fixture
def busy_shop(settings, transactional_db) -> Iterator[Segment]:
    settings.HISTORY_LEASE = float(LEASE)
    app.control.purge()
    chance, now = random.Random(1), datetime.now(UTC)

    def ago() -> str:
        return (now - timedelta(days=chance.uniform(0, 900))).isoformat()

    shop.customers(*(f"c{n},{f'c{n}@example.org' if n % 3 else ''}" for n in range(80)))
    shop.orders(*(f"o{n},c{chance.randrange(80)},{ago()},{chance.randrange(1, 90)}" for n in range(300)))
    shop.events(*(f"m{n},c{chance.randrange(80)},,Product Added,{ago()}" for n in range(900)))
    segment_store.install_templates()
    rule = {
        "any": [
            {"in_segment": {"is": "lost"}},
            {"in_segment": {"is": "hero", "in": "30d"}},
            {"total_spent": {"above": "median"}},
        ]
    }
    yield shop.segment("several", rule)
    app.control.purge()


@contextmanager
def killed_in_the_end(environment: dict[str, str], log: Path) -> Iterator[None]:
    """A real worker that has begun to compute, and is killed when the block ends."""
    attempts = HistoryRun.objects.get().attempts
    with log.open("ab") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", *WORKER.split()],
            cwd=django_settings.BASE_DIR,
            env={**environment, "HISTORY_LEASE": LEASE},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=signal_on_parent_death(9),
        )
    try:
        HISTORY.acknowledge()
        HISTORY.request()
        eventually(
            lambda: HistoryRun.objects.get().attempts > attempts or worker.poll() is not None, within=60
        )
        assert worker.poll() is None, log.read_text()
        yield
    finally:
        worker.kill()
        worker.wait()


def kill_workers(times: int, segment: Segment, days: int, environment: dict[str, str], log: Path) -> int:
    """Kill so many workers while they compute a history. Return how many of them had stored a day and not the last."""
    last = segment_history.last_day(datetime.now(UTC))
    first = last - timedelta(days=days - 1)
    whole = [(day, count) for day, [count] in segment_history.compute_days([segment], first, last)]
    run = runs.request_history(segment, first, last, datetime.now(UTC))
    chance, cut_short = random.Random(2), 0
    for _ in range(times):
        reached = HistoryRun.objects.get().reached_day
        with killed_in_the_end(environment, log):
            time.sleep(chance.uniform(0, 0.8))
        run.refresh_from_db()
        if run.state != "running":
            break
        cut_short += run.reached_day != reached
        wait_for_lease(run)
    while HistoryRun.objects.get().is_open:
        runs.run_next()
    assert stored(run) == whole
    return cut_short


def wait_for_lease(run: HistoryRun) -> None:
    """Wait until the lease of the dead worker is over."""
    heartbeat = HistoryRun.objects.get(pk=run.pk).heartbeat_at
    assert heartbeat
    eventually(lambda: datetime.now(UTC) - heartbeat > timedelta(seconds=float(LEASE)), within=30)


def stored(run: HistoryRun) -> list[tuple[date, DayCount]]:
    return runs.stored_days(run.segment, run.first_day, run.last_day) or []


@pytest.mark.django_db(transaction=True)
def test_two_killed_workers_leave_the_right_history(busy_shop, environment, tmp_path) -> None:
    assert kill_workers(2, busy_shop, 300, environment, tmp_path / "worker.log") >= 1


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_thirty_killed_workers_leave_the_right_history(busy_shop, environment, tmp_path) -> None:
    cut_short = kill_workers(30, busy_shop, 1_000, environment, tmp_path / "worker.log")

    assert cut_short >= 3, "hardly any of them was at work when killed"
