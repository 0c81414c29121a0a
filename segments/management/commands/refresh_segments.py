"""Refresh segments now, in this process."""

import sys
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.management.arguments import parse_instant
from segments.management import arguments
from segments.models import Segment
from segments.refresh.engine import refresh_segments
from segments.refresh.plan import TooEarly


class Command(BaseCommand):
    """Refresh segments; print size, entered and left of each."""

    help = "Refresh segments now, in this process: those that are named, or all active ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", nargs="*")
        parser.add_argument(
            "--full", action="store_true", help="evaluate every customer, with the same result"
        )
        parser.add_argument(
            "--at", type=parse_instant, help="an instant not before the last refresh; default: now"
        )

    def handle(self, *, slug: list[str], at: datetime | None, **options: Any) -> None:
        """Exit with status 1 if a segment failed."""
        chosen = arguments.find_segments(slug) if slug else list(Segment.objects.active())
        fixed = [segment.slug for segment in chosen if not segment.is_dynamic]
        if fixed:
            raise CommandError(f"{fixed[0]} is a fixed list; it has no rule")
        if not chosen:
            raise CommandError("there are no active segments yet; run install_templates")
        try:
            _, outcomes = refresh_segments(chosen if slug else None, at, full=options["full"])
        except TooEarly as error:
            raise CommandError(f"--at: {error}") from None
        width = max(len(outcome.segment.slug) for outcome in outcomes)
        for outcome in sorted(outcomes, key=lambda outcome: outcome.segment.slug):
            result = f"size {outcome.size}, entered {outcome.entered}, left {outcome.left}"
            self.stdout.write(f"{outcome.segment.slug:<{width}}  {outcome.error or result}")
        if any(outcome.error for outcome in outcomes):
            sys.exit(1)
