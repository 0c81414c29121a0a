"""Write the reference part of docs/rules.md anew from the registry of filters."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from segments.rules.catalogue import as_markdown

START = "<!-- from here on written by `manage.py document_rules` -->\n"


class Command(BaseCommand):
    """Bring the documentation in line with the filters there are."""

    help = "Write the reference part of docs/rules.md anew from the registry of filters."

    def handle(self, **options: Any) -> None:
        """Keep the introduction, replace the reference."""
        page = Path(settings.BASE_DIR) / "docs" / "rules.md"
        introduction, start, _ = page.read_text(encoding="utf-8").partition(START)
        page.write_text(f"{introduction}{start or START}\n{as_markdown()}", encoding="utf-8")
        self.stdout.write("docs/rules.md")
