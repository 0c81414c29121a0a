"""Write who will enter and leave a segment by time alone, as CSV."""

import csv
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.durations import parse_duration
from core.values.csv_injection import safe_cell
from customers.management.arguments import parse_instant
from segments.evaluation.context import context_at
from segments.evaluation.upcoming import MAX_WITHIN, find_upcoming
from segments.management import arguments
from segments.rules import RuleError, parse


def parse_within(text: str) -> timedelta:
    """Parse a span such as 7d, of at most 90 days."""
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    if not timedelta() < span <= MAX_WITHIN:
        raise ArgumentTypeError(f"expected a span of at most {MAX_WITHIN.days} days")
    return span


class Command(BaseCommand):
    help = (
        "Write who will enter and leave a segment if nothing more is recorded, as CSV: customer_id,change,at. It is the"
        " first change of each customer against the rule's answer at the instant. Changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--within", type=parse_within, required=True, metavar="SPAN", help="such as 7d")
        parser.add_argument("--at", type=parse_instant, help="default: now")

    def handle(self, *, slug: str, within: timedelta, at: datetime | None, **options: Any) -> None:
        [segment] = arguments.find_segments([slug])
        sheet = csv.writer(self.stdout, lineterminator="\n")
        sheet.writerow(["customer_id", "change", "at"])
        if not segment.is_dynamic:  # only staff change a fixed list
            return
        context = context_at(at or datetime.now(UTC), asks_rules=at is not None)
        try:
            changes = find_upcoming(parse(segment.rule), context, within)
        except RuleError as error:
            raise CommandError(str(error)) from None
        for one in changes:
            at_text = one.at.astimezone(UTC).isoformat(timespec="microseconds")
            sheet.writerow([safe_cell(one.customer_id), one.change, at_text])
