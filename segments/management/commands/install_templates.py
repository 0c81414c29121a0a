"""Create the ready-to-use segments that do not exist yet."""

from typing import Any

from django.core.management.base import BaseCommand

from segments import segment_store


class Command(BaseCommand):
    """Create the missing ready-to-use segments. Existing ones are not changed."""

    help = "Create the ready-to-use segments that do not exist yet."

    def handle(self, **options: Any) -> None:
        created = segment_store.install_templates()
        for segment in created:
            self.stdout.write(f"created {segment.slug}")
        if not created:
            self.stdout.write("all ready-to-use segments exist already")
