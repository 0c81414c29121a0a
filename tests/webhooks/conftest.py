"""Fixtures and helpers for tests of webhooks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from segments import fixed_lists, segment_store
from segments.models import Endpoint, Segment
from segments.webhooks import endpoints
from tests.support import shop
from tests.support.webhook_receiver import Receiver


@pytest.fixture
def loopback(settings: Any) -> None:
    """Allow calls to this machine, which production refuses."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.fixture
def receivers(loopback: None) -> Iterator[Callable[..., Receiver]]:
    """Make receivers that listen until the test is over."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(Receiver(*(args or ["127.0.0.1"])).listening())


@pytest.fixture
def receiver(receivers: Callable[..., Receiver]) -> Receiver:
    return receivers()


def subscribe(receiver: Receiver | str, *segments: Segment, **fields: Any) -> Endpoint:
    """Create an endpoint for these segments, or for all."""
    url = receiver if isinstance(receiver, str) else receiver.url
    given = {"name": "Tool", "url": url, "every_segment": not segments} | fields
    return endpoints.create_endpoint(Endpoint(**given), segments, datetime.now(UTC))


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Allow other processes to call this machine, too."""
    return {**environment, "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def vips() -> Segment:
    """An empty fixed list, and customers c1 to c40 to put on it."""
    shop.customers(*(f"c{number},c{number}@example.org" for number in range(1, 41)))
    return segment_store.create_fixed_list("vips", "VIPs", [], datetime.now(UTC))


def enter(segment: Segment, *customers: str) -> None:
    """Put customers on a list."""
    fixed_lists.add_customers(segment, segment_store.find_customers(customers)[0], datetime.now(UTC))


def leave(segment: Segment, *customers: str) -> None:
    """Take customers off a list."""
    fixed_lists.remove_customers(segment, segment_store.find_customers(customers)[0], datetime.now(UTC))
