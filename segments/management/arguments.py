"""Arguments of several commands: segments by slug, JSON from a file."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from segments import segment_store
from segments.models import Segment
from segments.rules import RuleError


def find_segments(slugs: Sequence[str]) -> list[Segment]:
    """Return the segments with these slugs, or all without slugs. The error for an unknown slug lists the existing."""
    found = {segment.slug: segment for segment in Segment.objects.order_by("slug")}
    unknown = [slug for slug in slugs if slug not in found]
    if unknown:
        existing = ", ".join(found) or "none yet; run install_templates"
        raise CommandError(f"there is no segment {unknown[0]!r} (existing: {existing})")
    return [found[slug] for slug in slugs] if slugs else list(found.values())


def read_json_file(path: Path) -> Any:
    """Read JSON from a file, or from standard input for "-"."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
        return segment_store.parse_json(text)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: is not UTF-8") from None
    except RuleError as error:
        raise CommandError(f"{path}: {error.message}") from None
