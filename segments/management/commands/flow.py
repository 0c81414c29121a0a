"""Write who went from which stage of the lifecycle to which between two days, as CSV."""

import csv
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.values.decimals import plain_text
from customers.management.arguments import parse_day
from segments import stages
from segments.lifecycle.flow import FIRST_DAY, LAST_DAY, compute_flow
from segments.management import arguments
from segments.models import Segment
from segments.rules import RuleError
from segments.stages import Stage


class Command(BaseCommand):
    help = (
        "Write who went from which stage to which between the ends of two days, as CSV: from,to,customers,revenue."
        " A customer is in the first stage whose rule matches. Changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="since", type=parse_day, required=True, metavar="DATE")
        parser.add_argument("--to", dest="until", type=parse_day, required=True, metavar="DATE")
        parser.add_argument(
            "--stages",
            metavar="SLUG,SLUG,…",
            help="segments, in the order in which they are asked (default: the stages of the lifecycle)",
        )

    def handle(self, *, since: date, until: date, stages: str | None, **options: Any) -> None:
        for name, day in (("--from", since), ("--to", until)):
            if not FIRST_DAY <= day <= LAST_DAY:
                raise CommandError(f"{name}: {day} is not between {FIRST_DAY} and {LAST_DAY}")
        if until < since:
            raise CommandError("--to: is before --from")
        try:
            flow = compute_flow(_chosen_stages(stages), since, until)
        except RuleError as error:
            raise CommandError(str(error)) from None
        sheet = csv.writer(self.stdout, lineterminator="\n")
        sheet.writerow(["from", "to", "customers", "revenue"])
        for cell in flow.cells:
            sheet.writerow([cell.source, cell.target, cell.customers, plain_text(cell.revenue)])


def _chosen_stages(given: str | None) -> list[Stage]:
    """Return the named stages. A built-in stage can be named, too, where no segment has its slug."""
    if given is None:
        return stages.lifecycle_stages()
    slugs = [slug.strip() for slug in given.split(",")]
    if len(set(slugs)) < len(slugs):
        raise CommandError("--stages: names a segment twice")
    built_in = {stage.slug: stage for stage in stages.built_in_stages()}
    stored = {segment.slug for segment in Segment.objects.only("slug")}
    return [
        built_in[slug]
        if slug in built_in and slug not in stored
        else stages.stage_of_segment(arguments.find_segments([slug])[0])
        for slug in slugs
    ]
