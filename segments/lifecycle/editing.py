"""Editing the stages of the lifecycle. Only this module writes ``LifecycleStage``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.contrib.auth.models import User
from django.db import transaction

from segments import segment_store, stages
from segments.models import LifecycleStage, Segment
from segments.refresh.write import lock_members
from segments.stages import MAX_STAGES, BuiltInStage
from segments.templates import TEMPLATES


class InvalidStages(ValueError):
    """A list of stages is invalid.

    ``place`` is that of the wrong one, or None if the list itself is wrong. ``field`` is what is wrong of it.
    """

    def __init__(
        self, message: str, place: int | None = None, field: Literal["slug", "band"] = "slug"
    ) -> None:
        super().__init__(message)
        self.message, self.place, self.field = message, place, field


@dataclass(frozen=True)
class StageEntry:
    """A stage as it is given: slugs of segments, and the place in the order of a life, which may be left out."""

    slug: str
    shown: int | None = None
    band: str = ""


@transaction.atomic
def set_up_lifecycle(*, by: User | None = None) -> list[Segment]:
    """Store the built-in stages, unless the shop has stages. Return the segments that were created for them.

    A segment that exists already becomes the stage as it is.
    """
    if LifecycleStage.objects.exists():
        return []
    existing = set(Segment.objects.values_list("slug", flat=True))
    created = [_create_segment(stage, by) for stage in stages.BUILT_IN_STAGES if stage.slug not in existing]
    replace_stages(
        [
            StageEntry(stage.slug, stage.shown, stage.band if stage.band in existing else "")
            for stage in stages.BUILT_IN_STAGES
        ]
    )
    return created


def _create_segment(stage: BuiltInStage, by: User | None) -> Segment:
    if stage.slug in TEMPLATES:
        return segment_store.create_from_template(TEMPLATES[stage.slug], by=by)
    new = Segment(slug=stage.slug, name=stage.name, description=stage.description, rule=stage.rule)
    return segment_store.save_segment(new, by=by)


@transaction.atomic
def replace_stages(entries: Sequence[StageEntry]) -> None:
    """Store the stages, in the order in which they are asked. Raises InvalidStages.

    Stages without a place in the order of a life are shown in the order of the list, after those with one.
    """
    if not entries:
        raise InvalidStages("A lifecycle has at least one stage.")
    if len(entries) > MAX_STAGES:
        raise InvalidStages(f"A lifecycle has at most {MAX_STAGES} stages.")
    lock_members()  # no segment is deleted meanwhile, and two edits follow one another
    slugs = {slug for entry in entries for slug in (entry.slug, entry.band) if slug}
    segments = {segment.slug: segment for segment in Segment.objects.filter(slug__in=slugs)}
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        if entry.slug not in segments:
            raise InvalidStages(f"There is no segment {entry.slug!r}.", place)
        if entry.band and entry.band not in segments:
            raise InvalidStages(f"There is no segment {entry.band!r}.", place, "band")
        if entry.slug in seen:
            raise InvalidStages(f"The segment {entry.slug!r} is in the list twice.", place)
        if entry.band == entry.slug:
            raise InvalidStages("A stage cannot be shown beside itself.", place, "band")
        seen.add(entry.slug)
    last = len(entries) + max((entry.shown or 0 for entry in entries), default=0)
    order = sorted(
        range(len(entries)),
        key=lambda place: (last if (shown := entries[place].shown) is None else shown, place),
    )
    LifecycleStage.objects.all().delete()
    LifecycleStage.objects.bulk_create(
        LifecycleStage(
            segment=segments[entry.slug],
            asked_place=place,
            shown_place=order.index(place),
            band=segments.get(entry.band),
        )
        for place, entry in enumerate(entries)
    )
