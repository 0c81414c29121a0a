"""Write the stored members of a segment as CSV."""

import csv
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from core.values.csv_injection import safe_cell
from segments.management import arguments
from segments.models import Membership


class Command(BaseCommand):
    help = "Write a segment's stored members as CSV: customer_id,entered_at."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")

    def handle(self, *, slug: str, **options: Any) -> None:
        [segment] = arguments.find_segments([slug])
        sheet = csv.writer(self.stdout, lineterminator="\n")
        sheet.writerow(["customer_id", "entered_at"])
        members = Membership.objects.filter(segment=segment).order_by("customer_id")
        for customer_id, entered_at in members.values_list("customer__customer_id", "entered_at").iterator():
            sheet.writerow([safe_cell(customer_id), entered_at.isoformat()])
