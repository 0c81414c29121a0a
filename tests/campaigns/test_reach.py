"""The reach of a segment: people, known, may be written to, under the weekly cap."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns.delivery import reach
from campaigns.delivery.reach import Reach
from customers.models import Suppression
from segments.models import Segment
from tests.support import campaign_runs, shop
from tests.support.campaign_runs import Move, campaign, subscribers
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

EVERYBODY = {"any": [{"known": {"is": True}}, {"known": {"is": False}}]}


@pytest.fixture(autouse=True)
def move(db: None) -> Iterator[Move]:
    with campaign_runs.clock() as move:
        yield move


@pytest.fixture
def everybody(move: Move) -> Segment:
    """Four subscribers, one of them suppressed, a customer without consent and a visitor."""
    subscribers("anna", "ben", "cleo", "dora")
    shop.customers("emil,emil@example.org,2026-01-01", header="customer_id,email,first_seen")
    shop.events("m1,,browser-1,Page Viewed,2026-03-01T10:00:00Z")
    Suppression.objects.create(address="dora@example.org", reason="manual", at=NOON)
    segment = shop.segment("everybody", EVERYBODY)
    move(NOON - timedelta(hours=2))
    return Segment.objects.get(pk=segment.pk)


def reached(segment: Segment) -> Reach:
    return reach.segment_reach(Segment.objects.get(pk=segment.pk), NOON, seconds=10)


def test_the_reach_is_what_the_sending_policy_decides(everybody: Segment, move: Move, settings: Any) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    assert reached(everybody) == Reach(people=6, known=5, reachable=3, under_cap=3)

    campaign(everybody, timedelta(), include_current_members=True)
    move(NOON)
    assert reached(everybody).reachable == 3
    assert reached(everybody).under_cap == 0


def test_the_reach_of_a_large_segment_is_estimated_from_a_sample(
    everybody: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "SAMPLE_SIZE", 2)
    monkeypatch.setattr(reach, "PAGE_SIZE", 1)

    estimated = reached(everybody)

    assert (estimated.people, estimated.known) == (6, 5)
    assert estimated.is_estimated
    assert 0 <= estimated.under_cap <= estimated.reachable <= 5


def test_the_overview_shows_the_reach(everybody: Segment) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    overview = client.get(reverse("admin:segments_segment_change", args=[everybody.pk])).content.decode()
    loaded = reverse("admin:campaigns_campaign_reach", args=[everybody.pk])
    assert f'hx-get="{loaded}"' in overview

    page = client.get(loaded).content.decode()
    assert re.search(r'"figure"\s*>3</span>\s*may be written to', page)
