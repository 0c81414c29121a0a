"""`visit_demo`: made-up people who visit the shop of a served demo, until stopped. `demo` starts it."""

import json
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import urllib3
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from customers.rows.settings import shop_settings
from segments_project.demo import shop, visitors
from segments_project.demo.history import SampleShop

RETRY_SECONDS: Final = 1.0
"""Seconds; the web processes may just be starting."""
REQUEST_TIMEOUT_SECONDS: Final = 30.0
MAX_DELAY: Final = timedelta(minutes=1)
"""What should have happened longer ago does not: the machine slept, or the shop was closed."""
RETRIED_STATUSES: Final = (429, 500, 502, 503, 504)


class Command(BaseCommand):
    """A client of the tracking endpoints like any other: all it takes from the database is its key."""

    help = "Send made-up visitors to the served shop of a demo, until stopped; `demo` starts this itself."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take where the shop is served."""
        parser.add_argument("address", help="such as http://127.0.0.1:8000/")

    def handle(self, *, address: str, **options: Any) -> None:
        """Let people come and go."""
        if not shop.demo_shop_exists():
            raise CommandError(
                "this database holds no demo shop, and nobody is made up for another: run `demo`"
            )
        key = shop.renew_write_key()
        people, currency = shop.people_count(), shop_settings().currency
        connections.close_all()
        door = TrackingClient(address, key)
        while True:
            now = datetime.now(UTC)
            history = SampleShop(people, now, currency=currency)
            for at, message in visitors.draw_messages(history, now, Random()):
                time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
                if datetime.now(UTC) - at > MAX_DELAY:
                    break
                door.send(message)


class TrackingClient:
    """The front door of the shop, where messages are left."""

    def __init__(self, address: str, key: str) -> None:
        self.url = f"{address.rstrip('/')}/v1/batch"
        self.headers = urllib3.make_headers(basic_auth=f"{key}:") | {"Content-Type": "application/json"}
        self.client = urllib3.PoolManager()

    def send(self, message: visitors.Message) -> None:
        """Send a message until it is acknowledged; raises CommandError where it never will be."""
        while True:
            body = json.dumps({"batch": [message], "sentAt": datetime.now(UTC).isoformat()})
            try:
                answer = self.client.request(
                    "POST",
                    self.url,
                    body=body,
                    headers=self.headers,
                    timeout=REQUEST_TIMEOUT_SECONDS,
                    retries=False,
                )
            except urllib3.exceptions.HTTPError:
                pass  # nobody answers: the shop is just starting
            else:
                if answer.status == 200:
                    return
                if answer.status not in RETRIED_STATUSES:
                    raise CommandError(
                        f"the shop answers {answer.status}: {answer.data.decode(errors='replace')}"
                    )
            time.sleep(RETRY_SECONDS)
