"""Audience exports and their members. Written by ``campaigns.audiences.exports`` alone."""

from django.db import models

from customers.models import Customer
from segments.models import Segment


class AudienceExport(models.Model):
    """One export of an audience. Written by ``campaigns.audiences.exports``."""

    class Platform(models.TextChoices):
        META = "meta", "Meta"
        GOOGLE = "google", "Google"

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="audience_exports", db_constraint=False
    )
    platform = models.CharField(max_length=6, choices=Platform)
    exported_at = models.DateTimeField()
    exported_by_name = models.CharField(max_length=150, blank=True, default="")
    since = models.PositiveBigIntegerField(
        null=True, help_text="The id of the change it continues from; empty for a full export."
    )
    until = models.PositiveBigIntegerField(help_text="The id of the last change it contains.")
    rows = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.platform} audience of {self.segment_id} at {self.exported_at}"


class AudienceMember(models.Model):
    """One customer of an audience, as last exported.

    Written by ``campaigns.audiences.exports``.

    The row stays after an exit, because the next file must name the customer as removed.
    """

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    platform = models.CharField(max_length=6, choices=AudienceExport.Platform)
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="audiences", db_constraint=False
    )
    is_included = models.BooleanField(help_text="Whether the customer may be shown ads.")
    exported_until = models.PositiveBigIntegerField(
        help_text="The id up to which the first file with this state reached."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("segment", "platform", "customer"),
                name="in_an_audience_once",
                violation_error_message="This customer is in this audience already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.customer_id} in the {self.platform} audience of {self.segment_id}"
