"""The stages of the shop's lifecycle. Only ``segments.lifecycle.editing`` writes them."""

from django.db import models

from .segment import Segment


class LifecycleStage(models.Model):
    """A segment that is a stage of the lifecycle. A customer is in the first stage that holds."""

    segment = models.OneToOneField(
        Segment, on_delete=models.PROTECT, related_name="lifecycle_stage", db_constraint=False
    )
    asked_place = models.PositiveSmallIntegerField(
        unique=True, help_text="The place in the order in which the stages are asked."
    )
    shown_place = models.PositiveSmallIntegerField(
        help_text="The place in the order in which the stages are shown, that of a life."
    )
    band = models.ForeignKey(
        Segment,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        help_text="A segment that is shown beside the stage: how many of the stage are also in it.",
    )

    class Meta:
        ordering = ("asked_place",)

    def __str__(self) -> str:
        return f"in place {self.asked_place + 1}"
