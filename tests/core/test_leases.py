"""Leases, tested with imports: concurrent claims, and abandoned work."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from core.db import leases
from customers.models import Import

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db


def add(state: str = "waiting", heartbeat_at: datetime | None = None) -> Import:
    return Import.objects.create(
        name="o.csv",
        stored="o.csv",
        size=1,
        uploaded_at=NOW,
        state=state,
        started_at=NOW,
        heartbeat_at=heartbeat_at,
    )


def test_the_second_of_two_workers_claims_nothing() -> None:
    waiting = Import.objects.filter(pk=add().pk, state="waiting")

    assert leases.claim(waiting, state="running")
    assert not leases.claim(waiting, state="running")


def test_several_rows_are_claimed_at_once() -> None:
    rows = [add() for _ in range(3)]

    with transaction.atomic():
        claimed = leases.claim_many(
            Import.objects.filter(state="waiting").order_by("pk"), 2, state="cancelled"
        )

    assert claimed == rows[:2]
    assert [one.state for one in Import.objects.order_by("pk")] == ["cancelled", "cancelled", "waiting"]


@pytest.mark.parametrize(
    ("beat", "is_held"),
    [(NOW - LEASE / 2, True), (NOW - LEASE, False), (NOW + LEASE / 2, True), (NOW + LEASE, False)],
    ids=["fresh", "over", "by a clock a little ahead", "by a clock that was set back since"],
)
def test_work_without_a_heartbeat_for_a_lease_is_ended(beat: datetime, is_held: bool) -> None:
    running = add("running", beat)

    found = leases.end_abandoned(
        Import.objects.filter(state="running"), NOW, LEASE, lambda _: {"state": "failed"}
    )

    running.refresh_from_db()
    assert (found, running.state) == (is_held, "running" if is_held else "failed")


def test_a_worker_that_extends_its_lease_at_the_last_moment_keeps_it() -> None:
    running = add("running", NOW - LEASE)

    def ended(row: Import) -> dict[str, str]:
        Import.objects.filter(pk=row.pk).update(heartbeat_at=NOW)
        return {"state": "failed"}

    leases.end_abandoned(Import.objects.filter(state="running"), NOW, LEASE, ended)

    running.refresh_from_db()
    assert (running.state, running.heartbeat_at) == ("running", NOW)
