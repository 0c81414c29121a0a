"""Tags and stars of segments. Only this module writes them."""

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import transaction

from core.values.text_cleaning import to_nfc

from .models import Segment, Star, Tag


def parse_tags(text: str) -> list[str]:
    """Return the tags of a text, separated by commas. A tag that differs only in case from another one is left out."""
    tags: dict[str, str] = {}
    for part in to_nfc(text).split(","):
        if tag := " ".join(part.split()):
            tags.setdefault(tag.casefold(), tag)
    return sorted(tags.values(), key=str.casefold)


def set_tags(segment: Segment, names: Iterable[str]) -> None:
    """Replace the tags of a segment. A tag is spelled as at other segments."""
    with transaction.atomic():
        Segment.objects.select_for_update().get(pk=segment.pk)
        others = Tag.objects.exclude(segment=segment).values_list("name", flat=True).distinct()
        spellings = {name.casefold(): name for name in others}
        wanted = {spellings.get(name.casefold(), name) for name in names}
        segment.tags.exclude(name__in=wanted).delete()
        present = set(segment.tags.values_list("name", flat=True))
        Tag.objects.bulk_create(Tag(segment=segment, name=name) for name in sorted(wanted - present))


def set_star(user: User, segment: Segment, *, starred: bool) -> None:
    """Mark a segment for one user, or remove the mark."""
    if starred:
        Star.objects.get_or_create(user=user, segment=segment)
    else:
        Star.objects.filter(user=user, segment=segment).delete()
