"""Erase one customer with all that is kept of them."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.identity import lookup
from customers.privacy import personal_data


class Command(BaseCommand):
    """Erase a customer, for good."""

    help = "Erase a customer with all records, ids and memberships; this cannot be undone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the customer, and whether it was thought over."""
        parser.add_argument("customer", help="a customer_id, or anonymous:… for a visitor")
        parser.add_argument("--yes", action="store_true", help="do not ask whether this is meant")

    def handle(self, *, customer: str, yes: bool, **options: Any) -> None:
        """Ask, erase, and print what that took away."""
        found = lookup.find_customer(customer)
        if found is None:
            raise CommandError(f"there is no customer {customer!r}")
        if not yes and input(f"Erase {found.customer_id} for good? Type the id again: ") != found.customer_id:
            raise CommandError("nothing was erased")
        others = personal_data.customers_sharing_addresses(found)
        done = personal_data.erase_customer(found, datetime.now(UTC), by="erase_customer")
        self.stdout.write(f"erased, with {done.orders} orders and {done.events} events")
        if others:
            self.stdout.write(f"not erased, though they have the same address: {', '.join(others)}")
