"""Write the audience file of a segment for an ad platform."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.audiences import exports
from campaigns.audiences.exports import ADD, REMOVE, UnknownChange
from campaigns.models import AudienceExport
from segments.management import arguments


class Command(BaseCommand):
    """Write the audience to standard output, and the id to continue from to standard error."""

    help = (
        "Write the members who consent to ads as CSV for a platform, hashed as required. The last line of standard"
        " error ends with the id to pass as --since next time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--for", dest="platform", required=True, choices=AudienceExport.Platform.values)
        parser.add_argument(
            "--since",
            type=int,
            metavar="ID",
            help="only changes after this id, with a column `operation`",
        )
        parser.add_argument(
            "--only",
            choices=(ADD, REMOVE),
            help="with --since: only additions or only removals, without that column",
        )

    def handle(
        self, *, slug: str, platform: str, since: int | None, only: exports.Operation | None, **options: Any
    ) -> None:
        if only and since is None:
            raise CommandError("--only requires --since")
        [segment] = arguments.find_segments([slug])
        try:
            file = exports.export_audience(segment, platform, datetime.now(UTC), since=since, only=only)
        except UnknownChange as error:
            raise CommandError(f"--since: {error}") from None
        for lines in file.batches:
            self.stdout.write(lines, ending="")
        rows = f"{file.rows:,} row{'s' * (file.rows != 1)}"
        self.stderr.write(f"{rows}; for what changes from here on, continue with --since {file.until}")
