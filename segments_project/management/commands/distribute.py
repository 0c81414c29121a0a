"""Distribute the tables of customers."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.db import distribution
from segments_project.distribution import LAYOUT


class Command(BaseCommand):
    """Give a PostgreSQL with Citus the distributed layout."""

    help = (
        "Distribute the tables of customers over the machines of a PostgreSQL with Citus, in one transaction. Stop "
        "all other processes first. On a PostgreSQL without Citus, only keys change."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing, and fail if something is missing"
        )

    def handle(self, *, check: bool, **options: Any) -> None:
        try:
            if check:
                self._check()
            else:
                self._distribute()
        except distribution.CannotDistribute as error:
            raise CommandError(str(error)) from error
        if not distribution.has_citus():
            self.stdout.write("The tables are not distributed: this PostgreSQL has no Citus.")

    def _check(self) -> None:
        missing = [*distribution.find_missing(LAYOUT), *distribution.find_wrong_settings()]
        if missing:
            raise CommandError("\n".join(missing))
        self.stdout.write("Nothing is missing.")

    def _distribute(self) -> None:
        for line in distribution.distribute(LAYOUT) or ["There was nothing to do."]:
            self.stdout.write(line)
        for line in distribution.find_wrong_settings():
            self.stderr.write(line)
