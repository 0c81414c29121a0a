"""The people who visit the demo's shop while it is served: what they send, and how it is taken."""

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice, pairwise
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from customers.models import Batch, Customer, Event, IdentityLink, Order, OrderLine, RefusedMessage, Source
from customers.tracking import sources
from segments import segment_store
from segments.models import Membership
from segments.refresh.engine import refresh_all
from segments_project.demo import shop, visitors
from segments_project.demo.history import SampleShop

from .conftest import eventually
from .support import tracking_messages

pytestmark = pytest.mark.django_db

PEOPLE = 60
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENT = 900
"""Messages: those of about a quarter of an hour."""

Sent = list[tuple[datetime, dict[str, Any]]]


def visits(start: datetime = START, seed: int = 1) -> Sent:
    shop = SampleShop(PEOPLE, until=START)
    return list(islice(visitors.draw_messages(shop, start, Random(seed)), SENT))


def orders_of(sent: Sent) -> set[str]:
    return {said["properties"]["order_id"] for _, said in sent if said.get("event") == "Order Completed"}


def newcomers_of(sent: Sent) -> set[str]:
    return {
        said["userId"]
        for _, said in sent
        if said["type"] == "identify" and said.get("traits", {}).get("firstName")
    }


def test_visitors_pause_and_return_like_people() -> None:
    sent = visits()

    times = [at for at, _ in sent]
    assert times == sorted(times)
    assert times[0] == START
    assert 0.8 < SENT / (times[-1] - START).total_seconds() < 1.25  # about one a second
    by_browser = sorted(((said["anonymousId"], at) for at, said in sent if said["anonymousId"]))
    pauses = {
        browser: [later - earlier for (_, earlier), (_, later) in pairwise(steps)]
        for browser, steps in groupby(by_browser, key=lambda step: step[0])
    }
    assert min(map(min, filter(None, pauses.values()))) >= timedelta(seconds=2)
    long_away = [
        browser
        for browser, between in pauses.items()
        if max(between, default=timedelta()) > timedelta(seconds=20)
    ]
    assert 3 < len(long_away) < 0.2 * len(pauses)  # who came back
    assert all(said["timestamp"] == at.isoformat(timespec="milliseconds") for at, said in sent)
    assert visits() == sent


def test_two_runs_share_only_the_ids_of_the_shop() -> None:
    one, other = visits(), visits(start=START + timedelta(hours=1))

    assert orders_of(one)
    assert newcomers_of(one)
    assert not orders_of(one) & orders_of(other)
    assert not newcomers_of(one) & newcomers_of(other)


def test_every_message_of_visitors_is_accepted_and_membership_stays_exact(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.fill_database(PEOPLE, START)
    segment_store.install_templates()
    refresh_all(START)
    people, orders, events = (
        Customer.objects.existing().count(),
        set(Order.objects.values_list("order_id", flat=True)),
        Event.objects.count(),
    )
    key = shop.renew_write_key()
    assert 0 < shop.people_count() <= PEOPLE
    sent = visits()

    for place in range(0, SENT, 300):
        tracking_messages.send(key, *(said for _, said in sent[place : place + 300]))
        refresh_all(sent[place + 299][0])

    assert not RefusedMessage.objects.exists()
    assert not Batch.objects.exists()
    assert not IdentityLink.objects.filter(is_conflict=True).exists()
    assert Event.objects.count() - events == sum(said["type"] != "identify" for _, said in sent)
    bought = Order.objects.exclude(order_id__in=orders)
    assert {order.order_id for order in bought} == orders_of(sent)
    assert {order.status for order in bought} == {Order.Status.PAID}
    assert all(order.total > 0 for order in bought)
    assert OrderLine.objects.filter(order__in=bought).exists()
    assert set(
        Customer.objects.known()
        .filter(customer_id__in=newcomers_of(sent))
        .values_list("customer_id", flat=True)
    ) == newcomers_of(sent)
    assert Customer.objects.existing().count() - people > 50
    assert Customer.objects.filter(first_seen__gte=START, newsletter="subscribed").exists()
    assert Event.objects.filter(occurred_at__gte=START, properties__utm_source="instagram").exists()
    assert Membership.objects.filter(segment__slug="waiting", entered_at__gt=START).exists()
    call_command("verify_segments")
    assert "DIFFERENT" not in capsys.readouterr().out


def test_a_later_run_uses_the_same_source_with_a_new_key() -> None:
    old = shop.renew_write_key()
    new = shop.renew_write_key()

    [source] = Source.objects.all()
    assert tracking_messages.post(old, "batch", {"batch": []}).status_code == 401
    assert tracking_messages.post(new, "batch", {"batch": []}).status_code == 200

    sources.revoke_source(source)
    assert sources.find_by_key(shop.renew_write_key()) != source


def test_no_visitors_are_created_in_a_real_shop() -> None:
    with pytest.raises(CommandError, match="does not contain a demo shop"):
        call_command("visit_demo", "http://127.0.0.1:9/")

    assert not Source.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_visitors_come_to_a_served_demo_which_continues_without_them(
    environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    began = datetime.now(UTC)
    shop.fill_database(PEOPLE, began)
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", "0"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            said = next((line for line in process.stdout if line.startswith("Ready")), "")
            address = re.search(r"http://\S+/", said)
            assert address, log.read_text()
            children = psutil.Process(process.pid).children(recursive=True)
            eventually(Event.objects.filter(occurred_at__gt=began).exists, within=60)
            assert not RefusedMessage.objects.exists()

            sources.revoke_source(Source.objects.get())
            eventually(
                lambda: "visits ended with status 1; the others continue" in log.read_text(), within=60
            )

            assert "the shop responds with 401" in log.read_text()
            with urlopen(f"{address[0]}healthz") as response:
                assert response.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=40) == 0
            assert psutil.wait_procs(children, timeout=1)[1] == []
        finally:
            process.kill()
