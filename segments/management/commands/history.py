"""Print the size of a segment day by day, and who entered and left, by its present rule. Nothing is changed."""

import csv
from argparse import ArgumentParser
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.management.arguments import parse_day
from segments.history.segment_history import EARLIEST, compute_days, last_day
from segments.management import arguments
from segments.rules import RuleError


class Command(BaseCommand):
    help = (
        "Print size, entered and left of a segment for each day, by its present rule from today's records, also from"
        " before the segment existed. Changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--since", type=parse_day, required=True, help="the first day")
        parser.add_argument(
            "--until", type=parse_day, help="the last day; default: yesterday, which is the latest"
        )

    def handle(self, *, slug: str, since: date, until: date | None, **options: Any) -> None:
        """Print one row for each day."""
        latest = last_day(datetime.now(UTC))
        until = until or latest
        if until > latest:
            raise CommandError(f"--until is at most yesterday, {latest}: a day counts once it has ended")
        if since < EARLIEST:
            raise CommandError(f"--since is a day from {EARLIEST.year} on")
        if until < since:
            raise CommandError(f"--since {since} is after --until {until}")
        [segment] = arguments.find_segments([slug])
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(("day", "size", "entered", "left"))
        try:
            for day, [count] in compute_days([segment], since, until):
                writer.writerow((day.isoformat(), count.size, count.entered, count.left))
        except RuleError as error:
            raise CommandError(f"{slug}: {error}") from None
