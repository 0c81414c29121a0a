"""Write the reference part of docs/rules.md anew from the registry of filters."""

from typing import Any

from django.core.management.base import BaseCommand

from core.reference_pages import write_reference
from segments.rules.catalogue import catalogue_markdown

START = "<!-- from here on written by `manage.py document_rules` -->\n"


class Command(BaseCommand):
    """Bring the documentation in line with the filters there are."""

    help = "Write the reference part of docs/rules.md anew from the registry of filters."

    def handle(self, **options: Any) -> None:
        """Keep the introduction, replace the reference."""
        self.stdout.write(write_reference("rules.md", START, catalogue_markdown()))
