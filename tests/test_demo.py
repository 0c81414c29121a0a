"""The `demo` command, up to the point where it serves."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.http import HttpRequest

from customers.ingestion import writer
from customers.models import Customer, Event, Order, StaleFacts
from customers.rows.kinds import CUSTOMERS
from customers.rows.settings import shop_settings
from segments.models import Change, Refresh, Segment
from segments.refresh import verification
from segments.templates import TEMPLATES
from segments_project.demo import shop

pytestmark = pytest.mark.django_db


def demo(capsys: pytest.CaptureFixture[str], customers: int = 300) -> tuple[str, str]:
    """Run it without serving; what it printed, results and progress."""
    call_command("demo", "--no-serve", "--customers", str(customers))
    printed = capsys.readouterr()
    return printed.out, printed.err


def records() -> tuple[int, int, int]:
    return Customer.objects.count(), Order.objects.count(), Event.objects.count()


def login(printed: str) -> tuple[str, str]:
    [found] = re.findall(r"^Staff login: (\S+), password: (\S+)$", printed, re.MULTILINE)
    return found


@time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC))
def test_the_demo_prints_every_ready_to_use_segment_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    results, progress = demo(capsys)

    rows = {line.split()[0]: re.split(r" {2,}", line)[1:] for line in results.splitlines() if line.strip()}
    assert TEMPLATES.keys() <= rows.keys()
    for segment in Segment.objects.all():
        assert rows[segment.slug] == [segment.name, str(segment.size), str(segment.known_size)]
        assert segment.size
    assert "All customers" in results
    assert "Creating a shop of 300 people" in progress
    assert Refresh.objects.order_by("at")[0].at <= datetime.now(UTC) - timedelta(days=29)
    assert not StaleFacts.objects.exists()
    # Its last days were lived: who bought entered by that, who was away for long left as time passed.
    came_and_went = set(Change.objects.values_list("segment__slug", "change", "cause"))
    assert {
        ("first-order", "entered", "activity"),
        ("lost", "entered", "time"),
        ("waiting", "left", "time"),
    } <= came_and_went
    assert ("repeat", "left", "activity") not in came_and_went
    assert all(verdict.is_correct for verdict in verification.verify(Segment.objects.all()))


def test_a_second_run_uses_the_existing_shop(capsys: pytest.CaptureFixture[str]) -> None:
    demo(capsys)
    before = records()

    results, progress = demo(capsys, customers=2)

    assert "already contains the demo shop" in progress
    assert records() == before
    assert all(slug in results for slug in TEMPLATES)


def test_the_login_printed_last_is_the_one_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    name, old = login(demo(capsys, customers=1)[0])
    assert authenticate(HttpRequest(), username=name, password=old)

    name, new = login(demo(capsys, customers=1)[0])

    assert not authenticate(HttpRequest(), username=name, password=old)
    user = authenticate(HttpRequest(), username=name, password=new)
    assert user
    assert user.is_staff
    assert user.is_superuser


def test_the_demo_does_not_touch_a_real_shop(capsys: pytest.CaptureFixture[str]) -> None:
    writer.ingest(CUSTOMERS, [(1, CUSTOMERS.read({"customer_id": "c000001"}, shop_settings()))])
    before = records()

    with pytest.raises(CommandError, match="already contains other customers"):
        demo(capsys)

    assert records() == before
    assert not Segment.objects.exists()
    assert not authenticate(HttpRequest(), username="demo", password="demo")


def test_the_shop_is_created_completely_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segments_project.demo.shop.update.update_facts", fail)

    with pytest.raises(KeyboardInterrupt):
        shop.build_demo_shop(20, datetime.now(UTC))

    assert records() == (0, 0, 0)


@pytest.mark.parametrize("number", ["0", "-5", "1000001", "many", "1e3"])
def test_an_invalid_size_is_rejected(number: str) -> None:
    with pytest.raises(CommandError, match="--customers"):
        call_command("demo", f"--customers={number}", "--no-serve")

    assert not Customer.objects.exists()
