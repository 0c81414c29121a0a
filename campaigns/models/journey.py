"""Journeys of customers through campaigns. Written by ``campaigns.journeys.progress`` alone."""

from django.db import models
from django.db.models import Q

from customers.models import Customer

from .campaign import Campaign


class Journey(models.Model):
    """One customer's way through one campaign, for one occasion. Written by ``campaigns.journeys.progress``."""

    class State(models.TextChoices):
        ACTIVE = "active"
        FINISHED = "finished"
        STOPPED = "stopped"

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="journeys", db_constraint=False
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="journeys", db_constraint=False
    )
    occasion = models.CharField(
        max_length=64, help_text="What started it: `change:42`, `date:` with an instant, or `start`."
    )
    began_at = models.DateTimeField()
    next_step = models.PositiveSmallIntegerField(default=1)
    due_at = models.DateTimeField(
        null=True, help_text="When the next step is due; empty once the journey has ended."
    )
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    ended_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "customer", "occasion"),
                name="journey_once",
                violation_error_message="This customer has started for this occasion already.",
            ),
        )
        indexes = (models.Index(fields=("due_at",), name="due_journeys", condition=Q(state="active")),)

    def __str__(self) -> str:
        return f"{self.customer_id} in campaign {self.campaign_id} since {self.began_at}"
