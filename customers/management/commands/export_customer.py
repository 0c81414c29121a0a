"""Export all that is known of one customer."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.identity import lookup
from customers.privacy import personal_data


class Command(BaseCommand):
    """Print everything about one customer as JSON."""

    help = "Print all that is known of a customer, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the customer."""
        parser.add_argument("customer", help="a customer_id, or anonymous:… for a visitor")

    def handle(self, *, customer: str, **options: Any) -> None:
        """Print it."""
        found = lookup.find_customer(customer)
        if found is None:
            raise CommandError(f"there is no customer {customer!r}")
        told = personal_data.export_customer(found, datetime.now(UTC))
        self.stdout.write(json.dumps(told, ensure_ascii=False, indent=2))
