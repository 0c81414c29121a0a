"""Tags and stars, by which staff find segments. Only ``segments.labels`` writes them."""

from typing import Final

from django.conf import settings
from django.db import models

from .segment import Segment

MAX_TAG_LENGTH: Final = 50


class Tag(models.Model):
    """A word that staff gave a segment."""

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="tags", db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=MAX_TAG_LENGTH)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("segment", "name"),
                name="tag_once_a_segment",
                violation_error_message="The segment has this tag already.",
            ),
        )

    def __str__(self) -> str:
        return self.name


class Star(models.Model):
    """One user has marked one segment, which comes first in their list."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="stars", db_constraint=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("user", "segment"),
                name="star_once_a_user",
                violation_error_message="You have marked this segment already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.segment_id} of {self.user_id}"
