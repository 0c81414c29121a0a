"""Webhooks: who is told of changes, what they are told, and what they answered: see ``segments.webhooks``.

``Endpoint`` is written by ``segments.webhooks.endpoints`` alone, ``Message`` by ``segments.webhooks.outbox`` (what is
to be told) and ``segments.webhooks.leases`` (what became of it), ``Attempt`` by the latter.
"""

from typing import Self

from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q

from core.encryption import EncryptedField
from customers.models import Customer

from .segment import Segment

MAX_URL_LENGTH = 2_000
FAILING_AFTER = 5  # in a row: then it is not this or that message


class Endpoint(models.Model):
    """An address that is told when customers enter or leave segments."""

    name = models.CharField(max_length=100, help_text="Such as “Newsletter tool”.")
    url = models.TextField(
        "address",
        validators=[MaxLengthValidator(MAX_URL_LENGTH)],
        help_text="Where messages are posted to: https://…",
    )
    every_segment = models.BooleanField("all segments", default=True, help_text="Also those to come.")
    segments = models.ManyToManyField(
        Segment, blank=True, related_name="endpoints", db_constraint=False, help_text="If not all."
    )
    wants_singles = models.BooleanField(
        "a message for each customer, always",
        default=False,
        help_text="Also where an edited rule or a first fill moves many at once, which one summary tells otherwise.",
    )
    secret = EncryptedField(editable=False, help_text="What messages are signed with.")
    former_secret = EncryptedField(blank=True, default="", editable=False)
    former_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    position = models.BigIntegerField(
        default=0,
        editable=False,
        help_text="The id of the last change that has been made a message of, or passed.",
    )
    created_at = models.DateTimeField(editable=False)
    is_active = models.BooleanField(default=True, editable=False)
    stopped_at = models.DateTimeField(null=True, blank=True, editable=False)
    stopped_because = models.TextField(
        blank=True, default="", editable=False, help_text="Empty where somebody of the staff paused it."
    )
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="In a row.")
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    held_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Until then nothing is sent, to let it recover."
    )

    class Meta:
        """Listed by name."""

        ordering = ("name", "pk")
        verbose_name = "webhook"

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """Say in one word how it stands: active, failing, paused (by staff) or stopped (by itself)."""
        if not self.is_active:
            return "stopped" if self.stopped_because else "paused"
        return "failing" if self.is_failing else "active"

    @property
    def is_failing(self) -> bool:
        """Tell whether it takes nothing at all, whatever is sent."""
        return self.failures >= FAILING_AFTER


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages, by what may happen to them."""

    def waiting(self) -> Self:
        """Keep those that are neither delivered nor given up."""
        return self.filter(state=Message.State.WAITING)

    def next_in_order(self) -> Self:
        """Keep the waiting ones that no earlier message has to go before.

        One customer's go one after another. A summary waits for what was told of its segment before, and what comes
        after waits for it. The leaving of somebody erased names no customer's key: these go one after another, too.
        """
        before = Message.objects.waiting().filter(endpoint=OuterRef("endpoint"), pk__lt=OuterRef("pk"))
        of_segment = before.filter(segment=OuterRef("segment"))
        return self.waiting().exclude(
            Exists(before.filter(customer=OuterRef("customer")))
            | Exists(of_segment.filter(kind=Message.Kind.BULK))
            | Q(kind=Message.Kind.BULK) & Exists(of_segment)
            | Q(customer=None) & Exists(of_segment.filter(customer=None))
        )


class Message(models.Model):
    """What one endpoint is told.

    It says which changes it tells of; what these say is read from their log when it is sent, so whoever is erased
    there is named by no message any more.
    """

    class Kind(models.TextChoices):
        """What happened; receivers know it by the same word."""

        ENTERED = "segment.entered", "entered"
        LEFT = "segment.left", "left"
        BULK = "segment.changed_in_bulk", "changed in bulk"
        TEST = "webhook.test", "test"

    class State(models.TextChoices):
        """How far it is."""

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
        related_name="+",
        help_text="Nobody for a summary, or once the customer is erased.",
    )
    first_id = models.BigIntegerField(null=True, help_text="Of the changes it tells of.")
    last_id = models.BigIntegerField(null=True)
    summary = models.JSONField(default=dict, help_text="What a summary says.")
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    written_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    first_tried_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(help_text="When it may be sent, or sent again.")
    leased_until = models.DateTimeField(
        null=True, help_text="While a worker is sending it; who holds it longer is gone."
    )
    done_at = models.DateTimeField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        """The waiting ones are found by endpoint, and by who may have to wait for whom."""

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
            models.Index(fields=("done_at",), name="messages_done"),
            models.Index(fields=("id",), name="messages_given_up", condition=Q(state="given up")),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, message {self.pk}"

    @property
    def public_id(self) -> str:
        """Give the id that receivers tell repetitions by: the same whenever the same is told again."""
        if self.kind == self.Kind.TEST:
            return f"test_{self.pk}"
        if self.kind == self.Kind.BULK:
            return f"changes_{self.first_id}_{self.last_id}"
        return f"change_{self.first_id}"


class Attempt(models.Model):
    """One try to deliver a message, and what was answered."""

    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="attempts", db_constraint=False
    )
    at = models.DateTimeField()
    took = models.PositiveIntegerField(help_text="Milliseconds.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer, if there was one.")
    problem = models.TextField(blank=True, default="", help_text="Why it does not count as delivered.")
    answer = models.TextField(blank=True, default="", help_text="The first kilobyte of it.")

    class Meta:
        """The latest first."""

        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"attempt {self.pk}: {self.status or self.problem}"
