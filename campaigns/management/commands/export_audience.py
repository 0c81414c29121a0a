"""Write a segment's audience for a platform for ads."""

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
        "Write the members of a segment who consent to ads as CSV for a platform, hashed as it asks for. The last"
        " line of standard error ends with the id to give as --since next time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the segment, the platform, and since when."""
        parser.add_argument("slug")
        parser.add_argument("--for", dest="platform", required=True, choices=AudienceExport.Platform.values)
        parser.add_argument(
            "--since",
            type=int,
            metavar="ID",
            help="only what is different since, with a column that says how",
        )
        parser.add_argument(
            "--only", choices=(ADD, REMOVE), help="with --since: a file of one kind, without that column"
        )

    def handle(
        self, *, slug: str, platform: str, since: int | None, only: exports.Operation | None, **options: Any
    ) -> None:
        """Stream the rows."""
        if only and since is None:
            raise CommandError("--only goes with --since: a full file is one of additions anyway")
        [segment] = arguments.find_segments([slug])
        try:
            file = exports.export_audience(segment, platform, datetime.now(UTC), since=since, only=only)
        except UnknownChange as error:
            raise CommandError(f"--since: {error}") from None
        for line in file.lines:
            self.stdout.write(line, ending="")
        rows = f"{file.rows:,} row{'s' * (file.rows != 1)}"
        self.stderr.write(f"{rows}; for what changes from here on, continue with --since {file.until}")
