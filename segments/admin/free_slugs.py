"""Slugs that no segment has yet."""

from collections.abc import Iterable

from segments.models import SLUG_LENGTH, Segment


def free_slug(slug: str, taken: Iterable[str] | None = None) -> str:
    """Return the slug, or the first free one with a number: ``lost-2``. ``taken`` are the slugs of all segments."""
    names = set(Segment.objects.values_list("slug", flat=True) if taken is None else taken)
    number, free = 2, slug
    while free in names:
        free = f"{slug[: SLUG_LENGTH - 8]}-{number}"
        number += 1
    return free
