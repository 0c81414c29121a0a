"""Explain why a customer is in or out of a segment."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.identity import lookup
from segments.evaluation import explanation
from segments.evaluation.context import context_at
from segments.management import arguments
from segments.models import Membership
from segments.rules import RuleError, parse


class Command(BaseCommand):
    """Print the rule as a tree with the answer and the customer's value for each condition."""

    help = "Explain why a customer is in a segment or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer", help="a customer_id, or anonymous:… for a visitor")
        parser.add_argument("slug")

    def handle(self, *, customer: str, slug: str, **options: Any) -> None:
        [segment] = arguments.find_segments([slug])
        found = lookup.find_customer(customer)
        if found is None:
            raise CommandError(f"there is no customer {customer!r}")
        entered_at = (
            Membership.objects.filter(customer=found, segment=segment)
            .values_list("entered_at", flat=True)
            .first()
        )
        stored = f"a stored member since {entered_at.isoformat()}" if entered_at else "no stored member"
        self.stdout.write(f"{found.customer_id} is {stored} of {segment.slug}")
        if not segment.is_dynamic:
            self.stdout.write("the segment is a fixed list: no rule decides")
            return
        try:
            node = explanation.explain(parse(segment.rule), found, context_at(datetime.now(UTC)))
        except RuleError as error:
            raise CommandError(str(error)) from None
        if node is None:
            raise CommandError(
                f"{customer!r} has not been seen yet: all their records are dated in the future"
            )
        for line in node.lines():
            self.stdout.write(line)
