"""Deliveries, and the channel health."""

import uuid

from django.db import models
from django.db.models import Q

from customers.models import Customer

from .campaign import Campaign, Step


class Delivery(models.Model):
    """One message to one customer. Written by ``campaigns.delivery.planning`` and ``campaigns.delivery.sender``.

    ``campaigns.links.signed_links`` writes its clicks, and ``campaigns.on_site_inbox`` writes when it is shown and
    dismissed. Consent, frequency cap and quiet hours are checked when it is sent.
    """

    class State(models.TextChoices):
        PLANNED = "planned"
        SENDING = "sending"
        SENT = "sent"
        WRITTEN = "written", "written to a file"
        FAILED = "failed"
        HELD_BACK = "held_back", "held back"

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False
    )
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False)
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False
    )
    occasion = models.CharField(max_length=64)
    token = models.UUIDField(
        default=uuid.uuid4, unique=True, help_text="Identifies the delivery in links and as Message-ID."
    )
    state = models.CharField(max_length=9, choices=State, default=State.PLANNED)
    planned_for = models.DateTimeField(help_text="When the step is due.")
    not_before = models.DateTimeField(
        help_text="Later than planned_for after quiet hours, or for another attempt."
    )
    claimed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    reason = models.CharField(
        max_length=300, blank=True, default="", help_text="Why it failed or was held back."
    )
    content = models.JSONField(null=True, help_text="The content of an on-site message.")
    shown_at = models.DateTimeField(null=True, help_text="When a page first fetched an on-site message.")
    dismissed_at = models.DateTimeField(null=True, help_text="When the visitor dismissed it.")
    clicked_at = models.DateTimeField(null=True, help_text="When a link was first clicked.")
    clicks = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "step", "customer", "occasion"),
                name="delivered_once",
                violation_error_message="This message is planned already.",
            ),
        )
        indexes = (
            models.Index(
                fields=("not_before", "campaign", "id"),
                name="due_deliveries",
                condition=Q(state__in=("planned", "sending")),
            ),
            models.Index(fields=("customer", "sent_at"), name="sent_to_customer"),
            models.Index(fields=("campaign", "state", "id"), name="deliveries_of_campaign"),
        )

    def __str__(self) -> str:
        return f"Step {self.step_id} to {self.customer_id}"


class ChannelHealth(models.Model):
    """The outcomes of a channel's latest messages. Written by ``campaigns.delivery.channel_health``."""

    channel = models.CharField(max_length=20, unique=True)
    recent = models.CharField(
        max_length=50,
        blank=True,
        default="",
        help_text="The latest messages: `.` for accepted, `x` for refused.",
    )
    paused_at = models.DateTimeField(
        null=True, help_text="Since when the channel is paused; empty while it sends."
    )
    last_error = models.CharField(max_length=300, blank=True, default="", help_text="The latest error.")

    class Meta:
        verbose_name_plural = "channel health"

    def __str__(self) -> str:
        return f"{self.channel}: {'paused' if self.paused_at else 'sending'}"
