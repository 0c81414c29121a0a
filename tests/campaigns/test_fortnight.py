"""Two weeks with a real mail server, a real worker and beat, a simulated clock, and workers killed at random.

Each message that the rules call for arrives once, at its tick of the clock, and no other does: what has to arrive is
worked out in plain Python beside it (``fortnight``). A worker killed after the mail server's yes, and before it could
note that, sends the same message once more, under the same Message-ID.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.db.models import Exists, OuterRef
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks
from redis import Redis

from campaigns import lifecycle
from campaigns.models import Campaign, Delivery, Journey
from campaigns.wakeups import CAMPAIGNS
from core import redis
from core.db import transactions
from segments.models import Change
from segments.refresh.engine import refresh_all
from segments.wakeups import REFRESH
from segments_project.celery import app
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.support import campaign_oracle, campaign_runs, shop
from tests.support.campaign_oracle import PLANS, START, Expected, Fact, Person
from tests.support.celery_with_test_clock import CLOCK, ENDED
from tests.support.mail_server import YES, MailServer, mail_server

LEASE = timedelta(seconds=60)
GIVEN_UP_AFTER = 120  # seconds for one tick
STATUSES = {"order": "paid", "cancelled": "cancelled"}


class Workers:
    """A real worker with two processes, and beat. Both read the clock from a file."""

    def __init__(self, environment: dict[str, str], folder: Path, url: str) -> None:
        self.clock = folder / "clock"
        self.log = folder / "workers.log"
        self.environment = environment | {
            CLOCK: str(self.clock),
            "EMAIL_URL": url,
            "CAMPAIGN_LEASE": str(LEASE.total_seconds()),
        }
        self.killed = 0
        self.worker: subprocess.Popen[bytes] | None = None
        self.beat: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.worker = self._celery("worker", *options)
        if self.beat is None:
            self.beat = self._celery("beat", "--max-interval", "1")

    def _celery(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "--quiet",
                    "-A",
                    "tests.support.celery_with_test_clock",
                    *arguments,
                ],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=signal_on_parent_death(9),
            )

    def kill(self, *, whole: bool = False) -> None:
        """Kill the worker's child processes, and sometimes the worker, which is then started again."""
        assert self.worker is not None
        doomed = psutil.Process(self.worker.pid).children(recursive=True)
        if whole:
            self.worker.kill()
        for process in doomed:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        if whole:
            self.worker.wait()
            self.start()
        self.killed += 1  # from here on, their leases may run out

    def stop(self) -> None:
        for process in (self.beat, self.worker):
            if process is not None:
                process.terminate()
        for process in (self.beat, self.worker):
            if process is not None:
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def workers(environment: dict[str, str], tmp_path: Path, server: MailServer) -> Iterator[Workers]:
    app.control.purge()
    # As an installation has it, but more often.
    often = IntervalSchedule.objects.create(every=5, period="seconds")
    PeriodicTask.objects.all().delete()
    PeriodicTask.objects.create(name="Carry out", task="campaigns.tasks.run_campaigns", interval=often)
    PeriodicTasks.update_changed()
    # The test itself refreshes, at each tick: for everybody else, a pass is waiting already.
    redis.call_redis(lambda client: client.set(REFRESH.marker, 1))
    workers = Workers(environment, tmp_path, server.url)
    workers.clock.write_text((START - 2 * campaign_oracle.HOUR).isoformat())
    workers.start()
    yield workers
    workers.stop()
    app.control.purge()
    REFRESH.acknowledge()


def open_shop(customers: Sequence[Person]) -> None:
    """Fill the shop and start the campaigns."""
    shop.customers(
        *(
            f"{one.id},{one.id}@example.org,{one.country},{one.zone},"
            f"{'subscribed' if one.is_subscribed else 'never'}"
            for one in customers
        ),
        header="customer_id,email,country,time_zone,newsletter",
    )
    segments = {group.slug: shop.segment(group.slug, group.rule) for group in campaign_oracle.GROUPS}
    before = START - 2 * campaign_oracle.HOUR
    refresh_all(before)
    for plan in PLANS:
        begin, end = plan.quiet or (None, None)
        campaign = Campaign(
            segment=segments[plan.group.slug],
            name=plan.name,
            trigger=plan.trigger,
            reentry_after=plan.again_after,
            exit_when_not_member=plan.only_members,
            ends_with_order=plan.ends_with_order,
            quiet_from=begin,
            quiet_until=end,
            repeats_every=plan.every,
            starts_at=plan.first,
        )
        steps = [
            campaign_runs.step(f"{plan.name} {number}", wait)
            for number, wait in enumerate(plan.waits, start=1)
        ]
        lifecycle.start(lifecycle.save_campaign(campaign, steps), before)


def record(facts: Sequence[Fact], number: int) -> None:
    """Ingest the records."""
    carts, orders, consents = [], [], []
    for fact in facts:
        about = f"{number}-{fact.who.id},{fact.who.id}"
        match fact.what:
            case "cart":
                carts.append(f"{about},,Product Added,{fact.when.isoformat()}")
            case "subscribe" | "unsubscribe":
                consents.append(f"{fact.who.id},{fact.what}d")
            case status:
                orders.append(f"{about},{fact.when.isoformat()},10,{STATUSES[status]}")
    shop.events(*carts, update_facts=False)
    shop.orders(*orders, header="order_id,customer_id,placed_at,total,status", update_facts=False)
    shop.customers(*consents, header="customer_id,newsletter", update_facts=False)


def is_done(at: datetime) -> bool:
    """Return whether no work is left at an instant."""
    unread = Change.objects.filter(segment=OuterRef("segment"), pk__gt=OuterRef("cursor"))
    last = max(
        (date for plan in PLANS for date in dates(plan) if date <= at), default=START - timedelta(days=1)
    )
    undated = Campaign.objects.filter(trigger="every", starts_at__lte=at).exclude(scheduled_until__gte=last)
    waiting = Delivery.objects.filter(
        campaign=OuterRef("campaign"), customer=OuterRef("customer"), occasion=OuterRef("occasion")
    ).filter(state__in=("planned", "sending"))
    with transactions.snapshot():  # what goes on from one of these to the next is never between them
        return not (
            Campaign.objects.filter(Exists(unread)).exists()
            or undated.exists()
            or Journey.objects.filter(~Exists(waiting), state="active", due_at__lte=at).exists()
            or Delivery.objects.filter(state__in=("planned", "sending"), not_before__lte=at).exists()
        )


def dates(plan: campaign_oracle.Plan) -> list[datetime]:
    return [plan.first + number * plan.every for number in range(10)] if plan.first and plan.every else []


def live(
    workers: Workers, server: MailServer, *, customers: int, every: timedelta, kills: int, seed: int
) -> dict[str, Any]:
    """Run the two weeks. Return how many messages arrived, and how many arrived twice."""
    chance = random.Random(seed)
    shop_people = campaign_oracle.people(customers, chance)
    open_shop(shop_people)
    expected = Expected(shop_people)
    instants = campaign_oracle.ticks(every)
    history = campaign_oracle.history(shop_people, instants, chance)
    arrived: list[tuple[str, str, int, str]] = []
    now = 0
    doomed = sorted(random.Random(seed + 1).sample(range(customers * 4), kills))

    def took(content: bytes) -> str:
        message = BytesHeaderParser().parsebytes(content)
        name = str(message["To"]).partition("@")[0]
        arrived.append((name, str(message["Subject"]), now, str(message["Message-ID"])))
        if doomed and len(arrived) >= doomed[0]:
            # The server has taken it, and the worker never hears of it.
            del doomed[0]
            workers.kill()
        return YES

    server.took = took
    for now, at in enumerate(instants):
        record(next(history), now)
        expected.tick(now, at)
        # Whom the refresh wakes would still read the old clock; a run waits already, then, which is ours.
        redis.call_redis(lambda client: client.set(CAMPAIGNS.marker, 1))
        refresh_all(at)
        if now == len(instants) // 2:
            workers.kill(whole=True)
        carry_out(workers, at)
    right = Counter(expected.messages)
    assert {what.rpartition(" ")[0] for _, what, _ in right} == {plan.name for plan in PLANS}
    once = Counter(dict.fromkeys(arrived, 1))
    assert Counter((who, what, when) for who, what, when, _ in once) == right
    assert len({token for *_, token in once}) == len(once), "two messages under one Message-ID"
    assert Delivery.objects.filter(state="sent").count() == len(once)
    return {
        "messages": len(once),
        "repeated": len(arrived) - len(once),
        "killed": workers.killed,
        **{reason: count for reason, count in expected.reasons.items() if reason != "sent"},
    }


def carry_out(workers: Workers, at: datetime) -> None:
    """Set the clock, start a run and wait for its end. Leases of killed workers expire a minute later."""
    redis = Redis.from_url(settings.REDIS_URL)
    until = time.monotonic() + GIVEN_UP_AFTER
    instant, killed = at, workers.killed
    write(workers.clock, instant)
    app.send_task("campaigns.tasks.run_campaigns")
    while not is_done(instant):
        assert time.monotonic() < until, workers.log.read_text()[-5000:]
        redis.blpop([ENDED], timeout=1)
        redis.delete(ENDED)
        if workers.killed > killed and Delivery.objects.filter(state="sending").exists():
            killed = workers.killed
            instant += LEASE
            write(workers.clock, instant)
            app.send_task("campaigns.tasks.run_campaigns")
    redis.close()
    assert instant < at + campaign_oracle.HOUR / 4


def write(clock: Path, instant: datetime) -> None:
    """Replace the file atomically, so that readers see the old or the new time."""
    new = clock.with_suffix(".new")
    new.write_text(instant.isoformat())
    os.replace(new, clock)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("customers", "every", "kills", "seed"),
    [
        (500, 8 * campaign_oracle.HOUR, 6, 1),
        pytest.param(5_000, campaign_oracle.HOUR, 60, 2, marks=pytest.mark.long),
    ],
)
def test_each_message_of_two_weeks_arrives_once(
    customers: int,
    every: timedelta,
    kills: int,
    seed: int,
    workers: Workers,
    server: MailServer,
    record_property: Callable[[str, object], None],
) -> None:
    lived = live(workers, server, customers=customers, every=every, kills=kills, seed=seed)

    for name, value in lived.items():
        record_property(name, value)
    assert lived["messages"] > customers
    assert lived["repeated"] <= 100 * lived["killed"]
    assert min(lived[reason] for reason in ("ordered", "no consent", "over the cap")) > 0
