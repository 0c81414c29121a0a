"""Webhooks: endpoints, their messages, and attempts to deliver them. See ``segments.webhooks``.

Only ``segments.webhooks.endpoints`` writes ``Endpoint``. ``segments.webhooks.outbox`` creates ``Message`` rows, and
``segments.webhooks.leases`` updates them and creates ``Attempt`` rows. ``outbox`` deletes both.
"""

from typing import Self

from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q

from core.encryption import EncryptedField
from customers.models import Customer

from .segment import Segment

MAX_URL_LENGTH = 2_000
FAILING_AFTER = 5  # failures in a row: so many are not the fault of single messages


class Endpoint(models.Model):
    """A URL that receives messages when customers enter or leave segments."""

    name = models.CharField(max_length=100, help_text="For example “Newsletter tool”.")
    url = models.TextField(
        "address",
        validators=[MaxLengthValidator(MAX_URL_LENGTH)],
        help_text="Messages are sent to this URL: https://…",
    )
    every_segment = models.BooleanField(
        "all segments", default=True, help_text="Also segments that are created later."
    )
    segments = models.ManyToManyField(
        Segment, blank=True, related_name="endpoints", db_constraint=False, help_text="If not all segments."
    )
    without_summaries = models.BooleanField(
        "a message for each customer, always",
        default=False,
        help_text="Otherwise one summary is sent when a new segment or an edited rule changes many members at once.",
    )
    secret = EncryptedField(editable=False, help_text="The secret that signs messages.")
    former_secret = EncryptedField(blank=True, default="", editable=False)
    former_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    cursor = models.BigIntegerField(
        default=0,
        editable=False,
        help_text="The id of the last change that was processed.",
    )
    created_at = models.DateTimeField(editable=False)
    is_active = models.BooleanField(default=True, editable=False)
    stopped_at = models.DateTimeField(null=True, blank=True, editable=False)
    stop_reason = models.TextField(
        blank=True, default="", editable=False, help_text="Empty if staff paused it."
    )
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="Failures in a row.")
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    held_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Nothing is sent until then, so that the receiver can recover.",
    )

    class Meta:
        ordering = ("name", "pk")
        verbose_name = "webhook"

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """Return active, failing, paused (by staff) or stopped (after too many failures)."""
        if not self.is_active:
            return "stopped" if self.stop_reason else "paused"
        return "failing" if self.is_failing else "active"

    @property
    def is_failing(self) -> bool:
        """Whether every message fails, not only some."""
        return self.failures >= FAILING_AFTER


class MessageQuerySet(models.QuerySet["Message"]):
    def waiting(self) -> Self:
        """Return the messages that are neither delivered nor given up."""
        return self.filter(state=Message.State.WAITING)

    def next_in_order(self) -> Self:
        """Return the waiting messages that do not have to wait for an earlier message.

        Messages about one customer are sent in order. A summary waits for earlier messages about its segment, and later
        ones wait for it. Messages about erased customers have no customer; those of a segment are sent in order, too.
        """
        before = Message.objects.waiting().filter(endpoint=OuterRef("endpoint"), pk__lt=OuterRef("pk"))
        about_segment = before.filter(segment=OuterRef("segment"))
        return self.waiting().exclude(
            Exists(before.filter(customer=OuterRef("customer")))
            | Exists(about_segment.filter(kind=Message.Kind.BULK))
            | Q(kind=Message.Kind.BULK) & Exists(about_segment)
            | Q(customer=None) & Exists(about_segment.filter(customer=None))
        )


class Message(models.Model):
    """A message to one endpoint.

    It refers to changes by their ids. Their content is read from the change log when the message is sent, so a message
    never names an erased customer.
    """

    class Kind(models.TextChoices):
        """What happened. The values are public."""

        ENTERED = "segment.entered", "entered"
        LEFT = "segment.left", "left"
        BULK = "segment.changed_in_bulk", "changed in bulk"
        TEST = "webhook.test", "test"

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        GIVEN_UP = "given up"

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="messages", db_constraint=False, db_index=False
    )
    kind = models.CharField("what", max_length=23, choices=Kind)
    segment = models.ForeignKey(
        Segment, null=True, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    customer = models.ForeignKey(
        Customer,
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="+",
        help_text="Empty for a summary, and once the customer is erased.",
    )
    first_id = models.BigIntegerField(null=True, help_text="The first of the changes it is about.")
    last_id = models.BigIntegerField(null=True)
    summary = models.JSONField(default=dict, help_text="The content of a summary.")
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    written_at = models.DateTimeField()
    attempt_count = models.PositiveSmallIntegerField(default=0)
    first_attempt_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(help_text="The time of the next attempt.")
    leased_until = models.DateTimeField(null=True, help_text="The lease of the worker that is sending it.")
    done_at = models.DateTimeField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        verbose_name = "webhook message"
        indexes = (
            models.Index(fields=("endpoint", "id"), name="messages_of_endpoint"),
            models.Index(
                fields=("endpoint", "customer", "id"),
                name="waiting_of_customer",
                condition=Q(state="waiting"),
            ),
            models.Index(
                fields=("endpoint", "segment", "kind", "id"),
                name="waiting_of_segment",
                condition=Q(state="waiting"),
            ),
            models.Index(fields=("done_at",), name="done_messages"),
            models.Index(fields=("id",), name="given_up_messages", condition=Q(state="given up")),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, message {self.pk}"

    @property
    def public_id(self) -> str:
        """Return the id that receivers recognize repeated messages by."""
        if self.kind == self.Kind.TEST:
            return f"test_{self.pk}"
        if self.kind == self.Kind.BULK:
            return f"changes_{self.first_id}_{self.last_id}"
        return f"change_{self.first_id}"


class Attempt(models.Model):
    """One attempt to deliver a message, and the response."""

    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="attempts", db_constraint=False
    )
    at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(
        null=True, help_text="The status of the response, if there was one."
    )
    problem = models.TextField(blank=True, default="", help_text="Why the message is not delivered.")
    response_text = models.TextField(blank=True, default="", help_text="The first kilobyte of the response.")

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"attempt {self.pk}: {self.status or self.problem}"
