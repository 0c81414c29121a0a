"""Parts of the documentation that commands generate from declarations in the code."""

from pathlib import Path

from django.conf import settings


def write_reference(page: str, start: str, reference: str) -> str:
    """Replace what follows the line ``start`` in a page of ``docs``, or append both; return the page's path."""
    path = Path(settings.BASE_DIR) / "docs" / page
    introduction, found, _ = path.read_text(encoding="utf-8").partition(start)
    path.write_text(f"{introduction}{found or start}\n{reference}", encoding="utf-8")
    return f"docs/{page}"
