"""Export all data about one customer."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.identity import lookup
from customers.privacy import personal_data


class Command(BaseCommand):
    """Print all data about one customer as JSON."""

    help = "Print all data about a customer as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer", help="a customer_id, or anonymous:… for a visitor")

    def handle(self, *, customer: str, **options: Any) -> None:
        found = lookup.find_customer(customer)
        if found is None:
            raise CommandError(f"there is no customer {customer!r}")
        data = personal_data.export_customer(found, datetime.now(UTC))
        self.stdout.write(json.dumps(data, ensure_ascii=False, indent=2))
