"""`demo`: creates a sample shop with segments in the configured database, and serves it until stopped."""

import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from campaigns.recommendations import products
from customers.models import Customer
from segments import segment_store
from segments.lifecycle import editing
from segments.models import Segment
from segments.refresh.engine import refresh_all
from segments_project.demo import shop
from segments_project.server import processes

DEFAULT_PEOPLE, MAX_PEOPLE = 3_000, 1_000_000
DEMO_USERNAME = "demo"
PROGRESS_SECONDS = 3.0
"""Between two lines of progress, where they cannot overwrite each other."""


class Command(BaseCommand):
    """Each step is skipped if it is done already, so a second run has the same result."""

    help = (
        "Create a sample shop, refresh and print its segments, and create a staff user. "
        "Then run web, worker and beat until stopped, with simulated visitors."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        size = f"people in the shop, most of them anonymous visitors (default: {DEFAULT_PEOPLE})"
        parser.add_argument("--customers", type=int, default=DEFAULT_PEOPLE, metavar="N", help=size)
        parser.add_argument("--no-serve", action="store_true", help="stop after printing the segments")
        parser.add_argument("--no-visitors", action="store_true", help="do not simulate visitors")
        parser.add_argument("--port", type=int, default=8000, help="0 for any free one (default: 8000)")

    def handle(self, *, customers: int, no_serve: bool, no_visitors: bool, port: int, **options: Any) -> None:
        if not 1 <= customers <= MAX_PEOPLE:
            raise CommandError(f"--customers: {customers} is not between 1 and {MAX_PEOPLE}")
        if port:
            processes.use_default_urls(port)
        call_command("migrate", verbosity=0, interactive=False)
        if shop.demo_shop_exists():
            self.say("The database already contains the demo shop, which is used as it is.")
        elif Customer.objects.exists():
            raise CommandError(
                "this database already contains other customers: "
                "set DATABASE_URL to another database, such as sqlite:///demo.sqlite3, or run `serve`"
            )
        else:
            self.say(
                f"Creating a shop of {customers:,} people with two years of history, the last "
                f"{shop.LIVE_PERIOD.days} days of it record by record ..."
            )
            now = datetime.now(UTC)
            self.make_shop(customers, now)
        segment_store.install_templates()
        editing.set_up_lifecycle()
        self.refresh()
        self.say("Computing recommendations ...")
        products.learn_products(datetime.now(UTC))
        self.print_segments()
        self.stdout.write(f"\nStaff login: {DEMO_USERNAME}, password: {reset_demo_password()}")
        if not no_serve:
            self.serve(port, with_visitors=not no_visitors)

    def make_shop(self, customers: int, until: datetime) -> None:
        """Create the shop and print the progress: in place on a terminal, else on new lines."""
        in_place = self.stderr.isatty()
        due = time.monotonic() + PROGRESS_SECONDS

        def count(what: str, number: int) -> None:
            nonlocal due
            if in_place:
                self.stderr.write(f"\r  {number:>12,} {what:<20}", style_func=str, ending="")
                self.stderr.flush()
            elif time.monotonic() > due:
                due = time.monotonic() + PROGRESS_SECONDS
                self.say(f"  {number:,} {what}")

        shop.build_demo_shop(customers, until, count)
        if in_place:
            self.stderr.write(f"\r{'':<40}\r", style_func=str, ending="")

    def refresh(self) -> None:
        """Refresh all segments, and print errors."""
        self.say("Refreshing the segments ...")
        _, outcomes = refresh_all()
        for outcome in outcomes:
            if outcome.error:
                self.say(f"  {outcome.segment.slug}: {outcome.error}")

    def print_segments(self) -> None:
        everybody = Customer.objects.existing()
        rows = [
            ("segment", "name", "size", "known"),
            *(
                (segment.slug, segment.name, f"{segment.size:,}", f"{segment.known_size:,}")
                for segment in Segment.objects.order_by("slug")
            ),
            ("", "All customers", f"{everybody.count():,}", f"{everybody.known().count():,}"),
        ]
        slugs, names, sizes, knowns = (max(map(len, column)) for column in zip(*rows, strict=True))
        for slug, name, size, known in rows:
            self.stdout.write(f"{slug:<{slugs}}  {name:<{names}}  {size:>{sizes}}  {known:>{knowns}}")

    def serve(self, port: int, *, with_visitors: bool) -> None:
        self.stdout.flush()
        connections.close_all()
        visitors = ", with simulated visitors (--no-visitors turns them off)" if with_visitors else ""
        self.say(f"Starting web, worker and beat{visitors} ...")
        try:
            status = processes.run_processes(port, announce=self.announce, with_visitors=with_visitors)
        except processes.ProcessError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def announce(self, address: str) -> None:
        self.stdout.write(f"Ready: {address} (Ctrl-C stops)")
        self.stdout.flush()

    def say(self, line: str) -> None:
        """Print progress on standard error, apart from the results."""
        self.stderr.write(line, style_func=str)
        self.stderr.flush()


def reset_demo_password() -> str:
    """Create the demo user if necessary, and return a new password: the old one cannot be read."""
    user, _ = get_user_model().objects.get_or_create(username=DEMO_USERNAME)
    user.is_staff = user.is_superuser = user.is_active = True
    password = secrets.token_urlsafe(9)
    user.set_password(password)
    user.save(update_fields=["is_staff", "is_superuser", "is_active", "password"])
    return password
