"""Imports by staff: preview, start, progress, cancellation; and workers that die."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from kombu.exceptions import OperationalError

from customers import tasks
from customers.imports import csv_files, upload_files, uploads
from customers.ingestion import writer
from customers.models import Customer, Import, Order
from segments_project.celery import app
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.conftest import eventually
from tests.support import shop

pytestmark = pytest.mark.django_db

State = Import.State
REFUSED = (
    "customer_id: 'anonymous:7' is the public id of an anonymous visitor; use the shop's own customer id"
)
CUSTOMERS = (
    "customer_id,email,tier\nc1,a@example.org,gold\nanonymous:7,b@example.org,\nc3,c@example.org,=1+1\n"
)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.IMPORTS_DIR = tmp_path / "imports"
    return Path(settings.IMPORTS_DIR)


@pytest.fixture
def enter() -> Callable[[str], Client]:
    """Logs somebody of a role in."""

    def entered(role: str) -> Client:
        user = User.objects.create_user(role, is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client = Client()
        client.force_login(user)
        return client

    return entered


@pytest.fixture
def marketer(enter: Callable[[str], Client]) -> Client:
    return enter("Marketer")


def page(view: str, *args: Any) -> str:
    return reverse(f"admin:customers_import_{view}", args=args)


def upload(client: Client, text: str | bytes, name: str = "mine.csv") -> Any:
    """Upload a file, and give the page that is shown then."""
    data = text.encode() if isinstance(text, str) else text
    return client.post(page("add"), {"file": SimpleUploadedFile(name, data)}, follow=True)


def started(text: str, kind: str = "", name: str = "mine.csv") -> Import:
    """A file that waits for a worker."""
    now = datetime.now(UTC)
    one = uploads.store_upload(name, [text.encode()], now)
    assert uploads.start_import(one, csv_files.FORMATS[kind or one.kind], now)
    one.refresh_from_db()
    return one


def told(one: Import) -> tuple[str, int, int, int, int]:
    one.refresh_from_db()
    return one.state, one.read, one.created, one.updated, one.refused


# -- By the pages


def test_a_file_is_previewed_before_anything_is_stored(marketer: Client) -> None:
    shown = upload(marketer, CUSTOMERS)

    assert shown.context["kind"].name == "customers"
    assert shown.context["columns"] == [
        ("customer_id", "customer_id", ["c1", "anonymous:7", "c3"]),
        ("email", "email", ["a@example.org", "b@example.org", "c@example.org"]),
        ("tier", "attribute", ["gold", "=1+1"]),
    ]
    assert [(one.line, one.reason) for one in shown.context["rejected_rows"]] == [(3, REFUSED)]
    assert not Customer.objects.exists()


def test_a_worker_imports_a_file_and_its_rejected_rows_can_be_corrected(
    marketer: Client,
) -> None:
    key = upload(marketer, CUSTOMERS).context["import"].pk

    waiting = marketer.post(page("start", key), {"kind": "customers"}, follow=True)
    assert "Starts as soon as the worker is free" in " ".join(waiting.content.decode().split())
    assert "hx-get" in marketer.get(page("progress", key)).content.decode()
    tasks.run_imports()

    done = marketer.get(page("progress", key)).content.decode()
    assert "Finished" in done
    assert "hx-get" not in done
    assert told(Import.objects.get(pk=key)) == ("done", 3, 2, 0, 1)
    sheet = b"".join(marketer.get(page("refused", key))).decode("utf-8-sig")
    assert sheet.splitlines() == [
        "refused_line,refused_reason,customer_id,email,tier",
        f"3,{REFUSED},anonymous:7,b@example.org,",
    ]
    corrected = shop.import_text("customers", sheet.replace("anonymous:7,b", "c2,b"))
    assert corrected.counts == (1, 1, 0, 0)
    assert Customer.objects.get(customer_id="c2").attributes == {}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04\x14\x00", "the workbook cannot be read"),
        ('"größe\n'.encode("latin-1"), "the header cannot be read: a quote is opened, but not closed"),
        ("\n\n".encode("utf-16"), "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"", "The file is empty"),
    ],
)
def test_an_invalid_file_is_rejected_with_what_to_change(data, said, marketer, folder) -> None:
    assert said in upload(marketer, data).content.decode()
    assert not Import.objects.exists()
    assert not [*folder.glob("*")]


def test_missing_columns_of_the_chosen_kind_are_named(marketer: Client) -> None:
    shown = upload(marketer, "color;size\nred;7\n")
    assert shown.context["kind"] is None
    one = shown.context["import"]

    as_customers = marketer.get(page("change", one.pk), {"kind": "customers"})
    assert "no column becomes “Customer’s id”" in as_customers.context["problem"]
    assert told(one)[0] == "uploaded"
    assert Import.objects.get(pk=one.pk).kind == ""

    refused = marketer.post(page("start", one.pk), {"kind": "customers"}, follow=True)
    assert "no column becomes “Customer’s id”" in " ".join(map(str, refused.context["messages"]))
    assert told(one)[0] == "uploaded"


def test_without_redis_an_import_waits_with_a_warning(marketer, monkeypatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.run_imports, "delay", away)
    one = upload(marketer, CUSTOMERS).context["import"]

    shown = marketer.post(page("start", one.pk), {"kind": "customers"}, follow=True)

    assert "The import starts as soon as" in " ".join(map(str, shown.context["messages"]))
    assert told(one)[0] == "waiting"


def test_viewers_import_nothing_and_see_no_values(enter, marketer) -> None:
    one = upload(marketer, CUSTOMERS).context["import"]
    viewer = enter("Viewer")

    for method, address in (
        *(("get", page(view)) for view in ("changelist", "add")),
        *(("get", page(view, one.pk)) for view in ("change", "progress", "refused")),
        *(("post", page(view, one.pk)) for view in ("start", "cancel")),
    ):
        assert getattr(viewer, method)(address).status_code == 403
    assert marketer.get(page("start", one.pk)).status_code == 405


# -- The worker


def test_imports_run_one_at_a_time_in_the_order_they_were_started() -> None:
    first = started("order_id,customer_id,placed_at\no1,c1,2026-03-01\n")
    second = started("order_id,sku\no1,s1\n")

    assert uploads.run_next_import()
    assert (told(first)[0], told(second)[0]) == ("done", "waiting")
    assert not uploads.run_next_import()
    assert told(second) == ("done", 1, 1, 0, 0)


def test_an_import_whose_worker_died_is_started_again(settings: Any) -> None:
    one, other = started(CUSTOMERS), started(CUSTOMERS)
    now = datetime.now(UTC)
    Import.objects.filter(pk=one.pk).update(state="running", attempts=1, heartbeat_at=now, started_at=now)

    assert uploads.run_next_import()
    assert (told(one)[0], told(other)[0]) == ("running", "waiting")

    Import.objects.filter(pk=one.pk).update(
        heartbeat_at=now - timedelta(seconds=settings.IMPORT_LEASE), queued_at=now - timedelta(hours=1)
    )
    uploads.run_next_import()
    one.refresh_from_db()
    assert (told(one)[0], one.attempts) == ("done", 2)


def test_a_file_that_stops_every_worker_is_given_up() -> None:
    one = started(CUSTOMERS)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    Import.objects.filter(pk=one.pk).update(
        state="running", attempts=uploads.MAX_ATTEMPTS, heartbeat_at=long_ago
    )

    assert not uploads.run_next_import()
    one.refresh_from_db()
    assert (one.state, one.error) == ("failed", uploads.WORKER_STOPPED)
    assert uploads.start_import(one, csv_files.FORMATS["customers"], datetime.now(UTC))
    uploads.run_next_import()
    assert told(one)[0] == "done"


def test_a_cancelled_import_ends_at_once_or_after_the_current_batch(monkeypatch) -> None:
    now = datetime.now(UTC)
    waiting = started(CUSTOMERS)
    uploads.cancel_import(waiting, now)
    assert told(waiting)[0] == "cancelled"
    assert not uploads.run_next_import()

    monkeypatch.setattr(csv_files, "ROWS_BATCH_SIZE", 2)
    running = started(CUSTOMERS)
    seen = writer.ingest

    def cancelled_meanwhile(*args: Any, **options: Any) -> Any:
        uploads.cancel_import(Import.objects.get(pk=running.pk), now)
        return seen(*args, **options)

    monkeypatch.setattr(writer, "ingest", cancelled_meanwhile)
    uploads.run_next_import()
    assert told(running) == ("cancelled", 2, 1, 0, 1)


def test_an_error_is_shown_and_the_import_can_be_started_again(monkeypatch) -> None:
    one = started(CUSTOMERS)
    upload_files.file_path(one).rename(upload_files.file_path(one).with_suffix(".away"))

    uploads.run_next_import()
    one.refresh_from_db()
    assert one.state == "failed"
    assert "No such file" in one.error


def test_old_files_are_deleted_and_their_results_stay(folder: Path, settings: Any) -> None:
    done, never = started(CUSTOMERS), uploads.store_upload("b.csv", [CUSTOMERS.encode()], datetime.now(UTC))
    uploads.run_next_import()
    assert uploads.delete_old_files(datetime.now(UTC)) == 0

    assert uploads.delete_old_files(datetime.now(UTC) + timedelta(days=settings.IMPORTS_KEPT_FOR + 1)) == 2

    assert not [*folder.iterdir()]
    assert (told(done)[0], told(never)[0]) == ("done", "cancelled")
    assert not uploads.start_import(done, csv_files.FORMATS["customers"], datetime.now(UTC))


@pytest.fixture
def clean_queue() -> Iterator[None]:
    app.control.purge()
    yield
    app.control.purge()


@pytest.mark.django_db(transaction=True)
def test_the_import_of_a_killed_worker_is_finished_by_the_next_worker(
    environment: dict[str, str], folder: Path, tmp_path: Path, settings: Any, clean_queue: None
) -> None:
    settings.IMPORT_LEASE = 1
    environment |= {"IMPORTS_DIR": str(folder), "IMPORT_LEASE": "1"}
    rows = 3 * csv_files.ROWS_BATCH_SIZE
    text = "\n".join(f"o{n},c{n % 99},2026-03-01,{n % 100}.25" for n in range(rows))
    one = started(f"order_id,customer_id,placed_at,total\n{text}\n")
    tasks.run_imports.delay()
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
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle"],
            cwd=django_settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=signal_on_parent_death(9),
        )
    try:
        eventually(lambda: told(one)[1] or worker.poll() is not None, within=60)
    finally:
        worker.kill()
        worker.wait()
    assert told(one)[0] == "running"
    assert Order.objects.count() < rows

    eventually(lambda: uploads.run_next_import() or told(one)[0] == "done")

    assert told(one)[:2] == ("done", rows)
    assert one.created + one.updated == rows
    assert Order.objects.count() == rows
    shop.assert_facts_are_those_of_the_records()
