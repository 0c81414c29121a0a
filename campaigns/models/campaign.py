"""Campaigns and their steps."""

from datetime import timedelta

from django.core.validators import MinValueValidator
from django.db import models

from segments.models import Segment


class Campaign(models.Model):
    """A series of steps for the customers of a segment.

    Written by ``campaigns.lifecycle``. ``campaigns.journeys.triggers`` moves the cursors while it runs.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        RUNNING = "running"
        PAUSED = "paused"
        STOPPED = "stopped"
        DONE = "done"

    class Trigger(models.TextChoices):
        ENTERS = "enters", "a customer enters the segment"
        LEAVES = "leaves", "a customer leaves the segment"
        AT = "at", "a date, for all members"
        EVERY = "every", "a repeated date, for all members"

    name = models.CharField(max_length=200)
    segment = models.ForeignKey(
        Segment, on_delete=models.PROTECT, related_name="campaigns", db_constraint=False
    )
    tactic = models.CharField(max_length=50, blank=True, default="", editable=False)
    state = models.CharField(max_length=7, choices=State, default=State.DRAFT, editable=False)
    trigger = models.CharField("starts when", max_length=6, choices=Trigger, default=Trigger.ENTERS)
    starts_at = models.DateTimeField(
        null=True, blank=True, help_text="The date, or the first date of a repetition."
    )
    repeats_every = models.DurationField(
        null=True, blank=True, validators=[MinValueValidator(timedelta(days=1))]
    )
    reentry_after = models.DurationField(
        "allow again after",
        null=True,
        blank=True,
        validators=[MinValueValidator(timedelta())],
        help_text="How long after the start a customer can start again. Empty means never.",
    )
    exit_when_not_member = models.BooleanField(
        "end when the customer leaves",
        default=True,
        help_text="End when the customer leaves the segment or, in a campaign for customers who left, returns to it.",
    )
    ends_with_order = models.BooleanField("end when the customer orders", default=False)
    include_bulk_entries = models.BooleanField(
        "also for bulk entries",
        default=False,
        help_text="Also start for customers who enter because the segment is new or its rule was edited.",
    )
    include_current_members = models.BooleanField(
        "also for current members",
        default=False,
        help_text="Also start once for customers who are members at the start of the campaign.",
    )
    quiet_from = models.TimeField(
        null=True, blank=True, help_text="In the customer's time zone. Nothing is sent from this time …"
    )
    quiet_until = models.TimeField(null=True, blank=True, help_text="… until this time.")
    pool = models.ForeignKey(
        "CouponPool",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        db_constraint=False,
        help_text="The pool that each customer's code comes from.",
    )
    answers = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What staff have filled into the texts, by name."
    )
    cursor = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="The id of the last change of the segment that was processed."
    )
    scheduled_until = models.DateTimeField(
        null=True,
        editable=False,
        help_text="The instant up to which dates, or the start for present members, were processed.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    created_by_name = models.CharField(max_length=150, blank=True, default="", editable=False)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name


class Step(models.Model):
    """One message of a campaign. Written by ``campaigns.lifecycle``."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField(help_text="From 1.")
    wait = models.DurationField(
        default=timedelta(),
        validators=[MinValueValidator(timedelta())],
        help_text="After the start, or after the previous step.",
    )
    # Without choices: campaigns.channels knows them, so that a new channel needs no migration.
    channel = models.CharField(max_length=20, default="email", help_text="The key of a channel.")
    subject = models.CharField(max_length=200, blank=True, default="")
    text = models.TextField(blank=True, default="", help_text="The plain text, in Liquid.")
    html = models.TextField(blank=True, default="", help_text="The same as HTML.")
    url = models.CharField(
        max_length=500,
        blank=True,
        default="",
        help_text="The URL of a webhook, or the target of an on-site message.",
    )
    blocks = models.JSONField(
        default=list,
        blank=True,
        help_text="The blocks of the message, from which text and HTML are made; empty if they are written.",
    )
    not_converted = models.CharField(
        max_length=500,
        blank=True,
        default="",
        editable=False,
        help_text="What of a message in Django's template language could not be converted to Liquid.",
    )

    class Meta:
        ordering = ("number",)
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "number"),
                name="step_once",
                violation_error_message="A campaign cannot have two steps with the same number.",
            ),
        )

    def __str__(self) -> str:
        return f"Step {self.number} of {self.campaign_id}"
