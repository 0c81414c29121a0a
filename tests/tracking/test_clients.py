"""Unmodified SDKs against a real server that is killed in between: each message is processed once, correctly."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import rudderstack.analytics.client
import segment.analytics
from django.conf import settings
from django.db import connection
from playwright.sync_api import Page, sync_playwright

from customers.models import Customer, Event, Order, RefusedMessage
from customers.tracking import inbox
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.conftest import eventually
from tests.support import shop
from tests.support.tracking_messages import source
from tests.support.web_server import Web, running

pytestmark = pytest.mark.django_db(transaction=True)

CALLS_OF_ONE = 10
FEW, MANY = 50, 500
CLIENTS = Path(__file__).parent / "clients"
Call = tuple[str, dict[str, Any]]


def story(calls: int) -> list[Call]:
    """What people do: each looks around, signs up, brings the history of another device, and half of them buy."""
    told: list[Call] = []
    for n in range(calls // CALLS_OF_ONE):
        visitor, user, old = {"anonymousId": f"a{n}"}, {"userId": f"u{n}"}, f"old{n}"
        added = {"product_id": "p1", "sku": "s1", "price": 10, "quantity": 2}
        bought = {"order_id": f"o{n}", "total": 20.5, "currency": "EUR", "products": [added]}
        told += [
            ("page", {**visitor, "name": "Home"}),
            ("track", {**visitor, "event": "Product Viewed", "properties": {"sku": "s1"}}),
            ("track", {**visitor, "event": "Product Added", "properties": added}),
            ("identify", {**user, **visitor, "traits": {"email": f"u{n}@example.org", "firstName": "Zoë"}}),
            ("track", {**user, "event": "Product Added", "properties": added}),
            ("identify", {**user, "traits": {"plan": "gold"}}),
            ("alias", {**user, "previousId": old}),
            ("page", {**user, "name": "Checkout"}),
            ("track", {**user, "event": "Order Completed", "properties": bought})
            if n % 2 == 0
            else ("track", {**user, "event": "Cart Viewed", "properties": {}}),
            ("track", {"anonymousId": old, "event": "Signed Out", "properties": {}}),
        ]
    return told


def assert_told(calls: int, folder: Path) -> None:
    """Exactly the story is stored, for the right people."""
    inbox.drain()
    assert not RefusedMessage.objects.exists()
    (folder / "open_cart.json").write_text('{"open_cart": {"within_last": "1h"}}')
    people = calls // CALLS_OF_ONE
    users = {f"u{n}" for n in range(people)}
    events = Counter(Event.objects.values_list("customer__customer_id", "name"))
    assert events == Counter(
        (user, name)
        for n, user in enumerate(f"u{n}" for n in range(people))
        for name in (
            *("Page Viewed", "Product Viewed", "Product Added", "Product Added", "Page Viewed", "Signed Out"),
            "Cart Viewed" if n % 2 else "Order Completed",
        )
    )
    told = Customer.objects.existing().values_list("customer_id", "email", "first_name", "attributes")
    assert {row[:3] for row in told} == {(user, f"{user}@example.org", "Zoë") for user in users}
    assert all(row[3] == {"plan": "gold"} for row in told)
    orders = Order.objects.values_list("order_id", "customer__customer_id", "total", "status", "lines__sku")
    assert {(*row[:2], float(row[2]), *row[3:]) for row in orders} == {
        (f"o{n}", f"u{n}", 20.5, "paid", "s1") for n in range(0, people, 2)
    }
    shop.assert_facts_are_those_of_the_records()
    assert evaluated(folder / "open_cart.json") == {f"u{n}" for n in range(1, people, 2)}


def evaluated(rule: Path) -> set[str]:
    """The printed ids of whom a rule matches now."""
    return set(shop.command("evaluate", "--rule", rule, "--ids").split())


@pytest.fixture
def web(environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    with running({**environment, "LOG_LEVEL": "WARNING"}, tmp_path / "web.log") as server:
        yield server


def through_python(client: Any, calls: list[Call], web: Web) -> None:
    """Send half, kill the server, send the rest to nobody, and start it again."""
    half = len(calls) // 2
    for method, call in calls[:half]:
        getattr(client, method)(**in_snakes(call))
    time.sleep(0.3)  # some have arrived, some are on their way
    web.kill()
    for method, call in calls[half:]:
        getattr(client, method)(**in_snakes(call))
    web.start()
    client.flush()
    client.join()


def in_snakes(call: dict[str, Any]) -> dict[str, Any]:
    names = {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "previous_id"}
    return {names.get(name, name): value for name, value in call.items()}


PYTHON: dict[str, Callable[[str, str], Any]] = {
    "segment": lambda key, host: segment.analytics.Client(key, host=host, upload_size=20),
    "segment with gzip": lambda key, host: segment.analytics.Client(
        key, host=host, gzip=True, upload_size=20
    ),
    "rudder": lambda key, host: rudderstack.analytics.client.Client(key, host=host, upload_size=20),
}


@pytest.mark.parametrize("calls", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", PYTHON)
def test_messages_of_the_python_client_are_understood(
    name: str, calls: int, web: Web, tmp_path: Path
) -> None:
    _, key = source()

    through_python(PYTHON[name](key, web.address), story(calls), web)

    assert_told(calls, tmp_path)


# -- Clients from npm


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the clients of npm, installed once; the test is skipped where that cannot be."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("there is no npm here")
    folder = settings.BASE_DIR / ".venv" / "tracking-clients"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(CLIENTS / "package.json", folder)
        options = "--ignore-scripts --no-package-lock --omit=optional --no-audit --no-fund"
        command = [npm, "install", *options.split()]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            pytest.skip(f"npm cannot install the clients: {done.stderr[-300:]}")
        (folder / "complete").touch()
    return Path(folder)


@pytest.mark.parametrize("calls", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["segment", "rudder"])
def test_messages_of_the_node_client_are_understood(
    name: str, calls: int, web: Web, modules: Path, tmp_path: Path
) -> None:
    _, key = source()
    node = subprocess.Popen(
        ["node", str(CLIENTS / "send.mjs"), str(modules), name, web.address, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=signal_on_parent_death(9),
    )
    assert node.stdin
    assert node.stdout
    with node:
        print(json.dumps(story(calls)), file=node.stdin, flush=True)
        assert node.stdout.readline() == "half\n"
        web.kill()
        print(file=node.stdin, flush=True)
        time.sleep(0.5)
        web.start()
        assert node.stdout.readline() == "done\n"

    assert_told(calls, tmp_path)


CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
)


class Shop(SimpleHTTPRequestHandler):
    """A web shop of one empty page, with the packages of analytics-next."""

    def do_GET(self) -> None:
        if self.path != "/":
            return super().do_GET()
        page = b"<!doctype html><title>Shop</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return None

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def page(modules: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page of a web shop, of another origin than the server."""
    if not CHROMIUM:
        pytest.skip("there is no chromium here")
    # Playwright runs a loop in this thread, in which Django would refuse to ask the database.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    bundles = modules / "node_modules/@segment/analytics-next/dist/umd"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Shop, directory=str(bundles))) as shop_server:
        threading.Thread(target=shop_server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{shop_server.server_port}/")
            page.add_script_tag(url="/index.js")
            yield page
            browser.close()
            connection.close()  # it is the loop's own, and nobody else would close it
        shop_server.shutdown()


LOAD = """async ([key, address]) => {
    const segment = {apiKey: key, apiHost: address + '/v1', protocol: 'http'}
    const cdnSettings = {integrations: {'Segment.io': segment}}
    window.shop = AnalyticsNext.AnalyticsBrowser.load({writeKey: key, cdnSettings}, {})
    await shop.ready()
}"""
BROWSE = """async (many) => {
    for (let n = 0; n < many; n++) await shop.track('Product Viewed', {sku: 's' + n})
    await shop.page('Home')
}"""
SIGN_UP = """async (many) => {
    shop.identify('u1', {email: 'u1@example.org'})
    for (let n = 0; n < many; n++) shop.track('Product Added', {sku: 's' + n, price: 5})
    shop.track('Order Completed', {order_id: 'o1', total: 5, products: [{sku: 's1', price: 5}]})
    shop.track('Product Added', {sku: 's1', price: 7})
    shop.alias('u1', 'nobody-else')
}"""


def take_until(holds: Callable[[], bool]) -> None:
    """Take what comes in until this holds; the client waits longer with each time that nobody answers."""

    def taken() -> bool:
        inbox.drain()
        return holds()

    eventually(taken, within=120)


@pytest.mark.parametrize("calls", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_messages_of_the_browser_client_are_understood(calls: int, web: Web, page: Page) -> None:
    _, key = source("browser", messages_a_minute=1_000_000)
    many = (calls - 5) // 2

    page.evaluate(LOAD, [key, web.address.removeprefix("http://")])
    page.evaluate(BROWSE, many)
    take_until(lambda: Event.objects.count() > many)
    [visitor] = Customer.objects.all()
    assert visitor.customer_id.startswith("anonymous:")
    web.kill()
    page.evaluate(SIGN_UP, many)
    web.start()
    expected = Counter(
        {"Product Viewed": many, "Page Viewed": 1, "Product Added": many + 1, "Order Completed": 1}
    )
    take_until(lambda: Event.objects.count() == expected.total())

    assert Counter(Event.objects.values_list("name", flat=True)) == expected
    customer = Customer.objects.existing().get()
    assert (customer.customer_id, customer.email) == ("u1", "u1@example.org")
    order = Order.objects.get()
    assert (order.customer, order.status) == (customer, "pending")
    assert not RefusedMessage.objects.exists()
