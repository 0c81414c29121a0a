"""Create or update segments from JSON, all or nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segments import segment_store
from segments.management import arguments
from segments.rules import RuleError


class Command(BaseCommand):
    """Create or update segments by slug. An import does not refresh them."""

    help = "Create or update segments from a JSON file as export_segments writes it; all or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="- reads standard input")

    def handle(self, *, file: Path, **options: Any) -> None:
        try:
            created, updated = segment_store.import_segments(arguments.read_json_file(file))
        except RuleError as error:
            raise CommandError(f"{file}: {error}; nothing was imported") from None
        for word, segments in (("created", created), ("updated", updated)):
            for segment in segments:
                self.stdout.write(f"{word} {segment.slug}")
        if not created and not updated:
            self.stdout.write("nothing to change")
