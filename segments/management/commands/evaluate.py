"""Count or list the customers that a rule matches at an instant. Nothing is changed."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.management.arguments import parse_instant
from segments import references
from segments.evaluation.context import context_at
from segments.evaluation.matching import customers_matching, public_ids
from segments.management import arguments
from segments.rules import Rule, RuleError, parse


class Command(BaseCommand):
    help = "Count or list the customers that a rule matches at an instant, which may be in the past. Changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--segment", metavar="SLUG")
        which.add_argument(
            "--rule",
            type=Path,
            metavar="FILE",
            help="a rule, or a list of rules, as JSON; - reads standard input",
        )
        parser.add_argument("--at", type=parse_instant, help="default: now")
        parser.add_argument("--ids", action="store_true", help="list the customers instead of counting them")

    def handle(
        self, *, segment: str | None, rule: Path | None, at: datetime | None, ids: bool, **options: Any
    ) -> None:
        """Print one line for each rule of a list."""
        given, listed = self._given(segment, rule)
        rules = [self._read(one, f"[{place}]." if listed else "") for place, one in enumerate(given)]
        # At another instant there are no stored members to ask for.
        context = context_at(at or datetime.now(UTC), asks_rules=at is not None)
        for one in rules:
            customers = customers_matching(one, context)
            if not ids:
                self.stdout.write(str(customers.count()))
            elif listed:
                self.stdout.write(json.dumps(list(public_ids(customers)), ensure_ascii=False))
            else:
                for customer_id in public_ids(customers):
                    self.stdout.write(customer_id)

    def _read(self, given: Any, place: str) -> Rule:
        try:
            rule = parse(given)
            references.check_references_of(rule)
        except RuleError as error:
            raise CommandError(f"{place}{error}") from None
        return rule

    def _given(self, slug: str | None, path: Path | None) -> tuple[list[Any], bool]:
        if path is not None:
            given = arguments.read_json_file(path)
            return (given, True) if isinstance(given, list) else ([given], False)
        [segment] = arguments.find_segments([slug or ""])
        if not segment.is_dynamic:
            return [{"in_segment": {"is": segment.slug}}], False
        return [segment.rule], False
