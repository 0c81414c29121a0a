"""Refreshes in the background: a real worker on a real Redis, and the schedule that beat reads."""

import pytest

from customers.models import Order
from segments import tasks
from segments.models import Refresh, Segment, Verification
from tests.conftest import eventually
from tests.support import shop
from tests.support.shop import NOON

BUYERS = {"order_count": {"at_least": 1}}


@pytest.mark.django_db(transaction=True)
def test_a_worker_refreshes_all_active_segments(celery_worker: str) -> None:
    shop.orders("o1,c1,2026-03-01,10")
    buyers, paused = shop.segment("buyers", BUYERS), shop.segment("paused", BUYERS)
    Segment.objects.filter(pk=paused.pk).update(is_active=False)

    tasks.refresh_all.delay()

    eventually(lambda: Refresh.objects.filter(state="done").exists())
    assert dict(Segment.objects.values_list("slug", "size")) == {"buyers": 1, "paused": 0}
    buyers.refresh_from_db()
    assert buyers.status == "fresh"


@pytest.mark.django_db(transaction=True)
def test_a_worker_refreshes_one_segment_and_may_do_so_twice(celery_worker: str) -> None:
    shop.orders("o1,c1,2026-03-01,10")
    buyers = shop.segment("buyers", BUYERS)

    tasks.refresh_segment.delay(buyers.pk)
    tasks.refresh_segment.delay(buyers.pk)
    tasks.refresh_segment.delay(10**9)  # deleted meanwhile

    eventually(lambda: Refresh.objects.filter(state="done").count() >= 3)
    assert shop.members("buyers") == ["c1"]
    assert shop.changes("buyers") == [("c1", "entered", "initial")]


@pytest.mark.django_db(transaction=True)
def test_a_worker_verifies_and_stores_the_result(celery_worker: str) -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("buyers", BUYERS)
    tasks.refresh_all()

    tasks.verify_segments.delay()

    eventually(lambda: Verification.objects.exclude(finished_at=None).exists())
    found = Verification.objects.get()
    assert (found.state, found.segments, found.members, found.details) == ("right", 1, 1, [])


@pytest.mark.django_db
def test_old_refreshes_without_results_are_deleted() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("buyers", BUYERS)
    for _ in range(3):
        tasks.refresh_all()
    Refresh.objects.update(started_at=NOON)
    filled, _, latest = Refresh.objects.order_by("pk").values_list("pk", flat=True)

    tasks.delete_old_refreshes()

    assert set(Refresh.objects.values_list("pk", flat=True)) == {filled, latest}


@pytest.mark.django_db(transaction=True)
def test_without_redis_records_are_accepted_without_delay(settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    shop.orders("o1,c1,2026-03-01,10")
    shop.orders("o2,c1,2026-03-02,10")

    assert Order.objects.count() == 2
