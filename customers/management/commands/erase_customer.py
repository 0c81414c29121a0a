"""Erase one customer with all data."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.identity import lookup
from customers.privacy import personal_data


class Command(BaseCommand):
    """Erase a customer permanently."""

    help = "Erase a customer with all records, ids and memberships. This cannot be undone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer", help="a customer_id, or anonymous:… for a visitor")
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")

    def handle(self, *, customer: str, yes: bool, **options: Any) -> None:
        found = lookup.find_customer(customer)
        if found is None:
            raise CommandError(f"there is no customer {customer!r}")
        if (
            not yes
            and input(f"Erase {found.customer_id} permanently? Type the id to confirm: ") != found.customer_id
        ):
            raise CommandError("nothing was erased")
        others = personal_data.customers_sharing_addresses(found)
        done = personal_data.erase_customer(found, datetime.now(UTC), by="erase_customer")
        self.stdout.write(f"erased, with {done.orders} orders and {done.events} events")
        if others:
            self.stdout.write(
                f"not erased, although they have the same e-mail address or phone number: {', '.join(others)}"
            )
