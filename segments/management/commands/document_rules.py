"""Write the reference part of docs/rules.md from the registry of filters."""

from typing import Any

from django.core.management.base import BaseCommand

from core.reference_pages import write_reference
from segments.rules.catalogue import catalogue_markdown

START = "<!-- from here on written by `manage.py document_rules` -->\n"


class Command(BaseCommand):
    help = "Write the reference part of docs/rules.md from the registry of filters."

    def handle(self, **options: Any) -> None:
        self.stdout.write(write_reference("rules.md", START, catalogue_markdown()))
