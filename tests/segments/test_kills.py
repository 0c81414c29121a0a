"""Workers killed at any moment leave members, changes and sizes consistent, and the next refresh completes the work."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db.models import Count

from segments import segment_store
from segments.models import Change, Membership, Refresh, Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from segments.wakeups import REFRESH
from segments_project.celery import app
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.conftest import eventually
from tests.support import shop

LEASE = "1"
NAMES = ("View", "Product Added", "Product Viewed")
numbers = count()


def feed(chance: random.Random) -> None:
    """Record what two customers did, as a shop's pages do all the time."""
    now = datetime.now(UTC)
    for _ in range(2):
        who, number = chance.randrange(60), next(numbers)
        at = now - timedelta(days=chance.choice([0, 0, 0, 10, 100]), seconds=chance.random())
        shop.events(f"m{number},c{who},,{chance.choice(NAMES)},{at.isoformat()}", update_facts=False)
    if chance.random() < 0.3:
        number, status = next(numbers), chance.choice(["paid", "paid", "cancelled"])
        shop.orders(
            f"o{number % 200},c{number % 40},{now.isoformat()},{10 * chance.randrange(1, 9)},{status}",
            header="order_id,customer_id,placed_at,total,status",
            update_facts=False,
        )


def assert_consistent() -> None:
    """Whatever is committed fits together: sizes, members, and what the changes add up to."""
    sizes = dict(Membership.objects.values_list("segment__slug").annotate(Count("pk")))
    assert {one.slug: one.size for one in Segment.objects.all() if one.size} == sizes
    balance: Counter[tuple[int, int]] = Counter()
    for segment, customer, change in Change.objects.order_by("id").values_list(
        "segment_id", "customer_id", "change"
    ):
        balance[segment, customer] += 1 if change == "entered" else -1
        assert balance[segment, customer] in (0, 1)
    members = {(one.segment_id, one.customer_id) for one in Membership.objects.all()}
    assert {pair for pair, inside in balance.items() if inside} == members


@contextmanager
def killed_in_the_end(environment: dict[str, str], log: Path) -> Iterator[None]:
    """A real worker that has begun to refresh, and is killed when the block ends."""
    before = Refresh.objects.count()
    command = [
        sys.executable,
        "-m",
        "celery",
        "--quiet",
        "-A",
        "segments_project",
        "worker",
        "--pool",
        "solo",
    ]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with log.open("ab") as output:
        worker = subprocess.Popen(
            [*command, *options],
            cwd=django_settings.BASE_DIR,
            env={**environment, "REFRESH_LEASE": LEASE},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=signal_on_parent_death(9),
        )
    try:
        eventually(lambda: Refresh.objects.count() > before or worker.poll() is not None, within=60)
        assert worker.poll() is None, log.read_text()
        yield
    finally:
        worker.kill()
        worker.wait()


def kill_workers(times: int, seed: int, environment: dict[str, str], log: Path) -> int:
    """Kill so many workers while the shop goes on; give how many of them were in the middle of a refresh."""
    chance = random.Random(seed)
    cut_short = 0
    for _ in range(times):
        feed(chance)
        with killed_in_the_end(environment, log):
            until = time.monotonic() + chance.uniform(0, 0.6)
            while time.monotonic() < until:
                feed(chance)
        cut_short += Refresh.objects.filter(state="running").count()
        assert_consistent()
        REFRESH.acknowledge()
        refresh_all()
        assert_consistent()
        assert all(verdict.is_correct for verdict in verification.verify(Segment.objects.all()))
    return cut_short


@pytest.fixture
def going_shop(settings, transactional_db) -> Iterator[None]:
    settings.REFRESH_LEASE = float(LEASE)
    app.control.purge()
    REFRESH.acknowledge()
    shop.customers(*(f"c{n},{f'c{n}@example.org' if n % 3 else ''}" for n in range(60)))
    segment_store.install_templates()
    shop.segment("once-lost", {"none": [{"in_segment": {"is": "lost"}}]})
    refresh_all()
    yield
    app.control.purge()


@pytest.mark.django_db(transaction=True)
def test_five_killed_workers_leave_correct_members(going_shop, environment, tmp_path) -> None:
    kill_workers(5, 1, environment, tmp_path / "worker.log")


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_fifty_killed_workers_leave_correct_members(going_shop, environment, tmp_path) -> None:
    cut_short = kill_workers(50, 2, environment, tmp_path / "worker.log")

    assert cut_short >= 5, "hardly any of them was at work when killed"
