"""Counts of a rule that is being edited: the customers it matches, in limited time or in a worker."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.urls import reverse

from core.db import execution, time_limits
from segments.evaluation import counting
from segments.evaluation.counting import RuleCount
from segments.models import Refresh
from segments.refresh.engine import refresh_all
from segments.refresh.queue import request_refresh
from segments.rules import parse
from tests.conftest import eventually
from tests.support import shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

RULE = {"any": [{"order_count": {"at_least": 1}}, {"none": [{"country": {"is": "FR"}}]}]}
EVER = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def shop_at_noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=False):
        shop.customers(
            "c1,c1@example.org,FR,subscribed", "c2,,FR,never", "c3,c3@example.org,DE,subscribed", "c4,,DE,never",
            header="customer_id,email,country,newsletter",
        )  # fmt: skip
        shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-10,40", "o3,c4,2026-03-01,10")
        yield


def test_a_count_has_the_matching_known_and_subscribed_customers(shop_at_noon):
    found = counting.count_matching(parse(RULE))

    assert found == RuleCount(at=NOON, everybody=4, matching=3, known=2, subscribed=2)


def test_details_count_each_condition_alone_by_its_path(shop_at_noon):
    found = counting.count_conditions(parse(RULE))

    assert found.conditions == {"rule.any[0].order_count": 2, "rule.any[1].none[0].country": 2}
    assert len(found.sample) == 3


def test_statistics_are_those_of_the_latest_refresh(shop_at_noon):
    rule = {"total_spent": {"above": "average"}}
    shop.segment("rich", rule)
    refresh_all(NOON)

    assert counting.count_matching(parse(rule)).matching == len(shop.members("rich")) == 1


def test_a_statement_ends_at_its_time_limit():
    with pytest.raises(time_limits.StatementTimeout), time_limits.time_limit(0.1):
        execution.fetch_all(EVER)

    with time_limits.time_limit(5):
        assert execution.fetch_all("SELECT 1") == [(1,)]  # the connection serves on


@pytest.mark.django_db(transaction=True)
def test_a_worker_runs_slow_counts(counts_worker):
    shop.customers("c1,c1@example.org", "c2,")

    ticket = counting.enqueue_count(RULE, "somebody")

    eventually(lambda: counting.fetch_count(ticket))
    found = counting.fetch_count(ticket)
    assert found
    assert (found[0].matching, found[1]) == (2, counting.count_conditions(parse(RULE)))


def test_only_the_latest_count_of_a_person_runs(shop_at_noon):
    superseded = counting.enqueue_count({"known": {"is": True}}, "somebody")
    latest = counting.enqueue_count(RULE, "somebody")
    anothers = counting.enqueue_count(RULE, "somebody-else")

    for ticket in (superseded, latest, anothers):
        counting.run_count(ticket)

    with pytest.raises(LookupError, match="one runs at a time"):
        counting.fetch_count(superseded)
    assert counting.fetch_count(latest) is not None
    assert counting.fetch_count(anothers) is not None


@pytest.mark.django_db(transaction=True)
def test_a_running_count_ends_when_the_person_requests_another():
    def take_ever(execute, sql, params, many, context):
        if 'FROM "customers_customer"' in sql:
            sql, params = EVER, None
        return execute(sql, params, many, context)

    first = counting.enqueue_count(RULE, "somebody")
    asking = threading.Timer(0.3, counting.enqueue_count, [RULE, "somebody"])
    asking.start()

    with connection.execute_wrapper(take_ever):
        counting.run_count(first)

    asking.join()
    with pytest.raises(LookupError, match="one runs at a time"):
        counting.fetch_count(first)
    assert execution.fetch_all("SELECT 1") == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_many_counts_do_not_delay_other_tasks(celery_worker, client, settings):
    """Nobody counts here, as if all nine were slow; the worker of all else goes on."""
    settings.COUNT_PATIENCE = 0
    broker = redis.Redis.from_url(settings.REDIS_URL)
    broker.delete(settings.COUNTS_QUEUE)  # what earlier tests have sent
    shop.customers("c1,c1@example.org", "c2,")
    segment = shop.segment("known", {"known": {"is": True}})
    for number in range(9):
        client.force_login(User.objects.create_superuser(f"staff-{number}"))
        asked = client.post(
            reverse("admin:segments_segment_rule_count"), {"rule": RULE}, content_type="application/json"
        )
        assert asked.json()["waiting"]

    run = request_refresh(segment, datetime.now(UTC))

    eventually(lambda: Refresh.objects.get(pk=run.pk).state == Refresh.State.DONE, within=10)
    assert client.get(asked.json()["waiting"]).json() == {}
    assert broker.llen(settings.COUNTS_QUEUE) == 9
    broker.delete(settings.COUNTS_QUEUE)


def test_the_error_of_an_unknown_count_says_what_to_do():
    with pytest.raises(LookupError, match="Change the rule"):
        counting.fetch_count("nothing")
