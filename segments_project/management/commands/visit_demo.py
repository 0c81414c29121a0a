"""`visit_demo`: simulates visitors of a demo shop that is being served. `demo` starts it."""

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
"""The web processes may still be starting."""
REQUEST_TIMEOUT_SECONDS: Final = 30.0
MAX_DELAY: Final = timedelta(minutes=1)
"""Older messages are dropped: the machine was asleep, or the shop was not being served."""
RETRIED_STATUSES: Final = (429, 500, 502, 503, 504)


class Command(BaseCommand):
    """A client of the tracking endpoints. It uses the database only to get its key."""

    help = "Simulate visitors of a demo shop that is being served, until stopped. `demo` starts this itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="such as http://127.0.0.1:8000/")

    def handle(self, *, address: str, **options: Any) -> None:
        if not shop.demo_shop_exists():
            raise CommandError("this database does not contain a demo shop: run `demo` first")
        key = shop.renew_write_key()
        people, currency = shop.people_count(), shop_settings().currency
        connections.close_all()
        client = TrackingClient(address, key)
        while True:
            now = datetime.now(UTC)
            history = SampleShop(people, now, currency=currency)
            for at, message in visitors.draw_messages(history, now, Random()):
                time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
                if datetime.now(UTC) - at > MAX_DELAY:
                    break
                client.send(message)


class TrackingClient:
    """Sends messages to the tracking endpoint of the shop."""

    def __init__(self, address: str, key: str) -> None:
        self.url = f"{address.rstrip('/')}/v1/batch"
        self.headers = urllib3.make_headers(basic_auth=f"{key}:") | {"Content-Type": "application/json"}
        self.client = urllib3.PoolManager()

    def send(self, message: visitors.Message) -> None:
        """Send a message, and retry until it is acknowledged. Raises CommandError if it is refused."""
        while True:
            body = json.dumps({"batch": [message], "sentAt": datetime.now(UTC).isoformat()})
            try:
                response = self.client.request(
                    "POST",
                    self.url,
                    body=body,
                    headers=self.headers,
                    timeout=REQUEST_TIMEOUT_SECONDS,
                    retries=False,
                )
            except urllib3.exceptions.HTTPError:
                pass  # the shop is still starting
            else:
                if response.status == 200:
                    return
                if response.status not in RETRIED_STATUSES:
                    raise CommandError(
                        f"the shop responds with {response.status}: {response.data.decode(errors='replace')}"
                    )
            time.sleep(RETRY_SECONDS)
