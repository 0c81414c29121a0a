"""Sources of messages, the inbox, and rejected messages: see ``customers.tracking``.

``customers.tracking.sources`` and the admin's form write ``Source``, and ``customers.tracking.inbox`` writes the
others.
"""

from typing import Final

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from core.encryption import EncryptedField

MESSAGES_A_MINUTE: Final = 60_000


class Source(models.Model):
    """A web shop, an app or a back office that sends messages with its write key."""

    class Kind(models.TextChoices):
        """Whether the key can be kept secret."""

        SERVER = "server", "server (its key is secret)"
        BROWSER = "browser", "browser or app (everybody can read its key)"

    name = models.CharField(max_length=100, help_text="Such as “Web shop” or “Back office”.")
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.BROWSER)
    prefix = models.CharField(
        max_length=12, editable=False, help_text="The first characters of the key, to recognize it."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    signing_secret = EncryptedField(
        editable=False, help_text="The secret with which the shop's server signs the userId."
    )
    trusts_unsigned_ids = models.BooleanField(
        "trust unsigned customer ids",
        default=False,
        help_text="Trust customer ids (userId) and orders that a browser sends without a signature (userHash)."
        " Anybody who knows a customer's id can then act as that customer, and anybody who knows an order's id can"
        " change that order.",
    )
    messages_a_minute = models.PositiveIntegerField(
        "messages per minute",
        default=MESSAGES_A_MINUTE,
        validators=[MinValueValidator(1), MaxValueValidator(100_000_000)],
        help_text="Further messages are answered 429 and must be sent again later.",
    )
    bots = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Ignored messages of known bots."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "tracking source"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_browser(self) -> bool:
        """Return whether everybody can read the key."""
        return self.kind == self.Kind.BROWSER


class Batch(models.Model):
    """One acknowledged request, until its messages are processed."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    received_at = models.DateTimeField()
    call = models.CharField(max_length=8, help_text="The type of a single message, or batch.")
    user_agent = models.CharField(max_length=500, blank=True, default="")
    size = models.PositiveIntegerField(help_text="How many messages it holds.")
    body = models.TextField(help_text="The JSON, inflated.")
    named_ids = models.BinaryField(
        null=True,
        help_text="Hashes of the ids that its messages name. Empty if an earlier version stored the request.",
    )

    class Meta:
        """A queue."""

        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.size} messages of {self.received_at.isoformat()}"


class RefusedMessage(models.Model):
    """A message, or a part of one, that is invalid. Other messages are processed all the same."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    received_at = models.DateTimeField(db_index=True)
    call = models.CharField(max_length=8)
    message_id = models.CharField(max_length=255, blank=True, default="")
    reason = models.TextField()
    message = models.TextField(help_text="The JSON, as it was sent.")

    def __str__(self) -> str:
        return f"message {self.message_id or self.pk}"
