"""Write segments as JSON, to keep them in version control."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from segments import segment_store
from segments.management import arguments


class Command(BaseCommand):
    help = "Write segments as JSON: [{slug, name, description, rule}]."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", nargs="*")

    def handle(self, *, slug: list[str], **options: Any) -> None:
        self.stdout.write(
            json.dumps(
                segment_store.export_segments(arguments.find_segments(slug)), indent=2, ensure_ascii=False
            )
        )
