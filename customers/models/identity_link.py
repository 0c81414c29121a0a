"""What messages say of the ids under which customers are met, each kept with its time.

What customers are follows from these rows by their times, so the order in which messages arrive does not matter.
``customers.identity.resolution`` writes ``IdentityLink``, ``customers.identity.unsigned_links`` writes
``UnsignedLink``, ``customers.tracking.profiles`` writes ``Traits``, and ``customers.tracking.order_messages``
writes ``OrderMessage``.
"""

from django.db import models

from .customer import Identity


class IdentityLink(models.Model):
    """That two ids are the same person, as somebody says who is trusted, and whether it had to be refused."""

    class Way(models.IntegerChoices):
        """What made the claim. Records come first, since nothing that a message says undoes them."""

        RECORD = 0, "an event of a file or the API"
        MESSAGE = 1, "a message of a server, or of a browser with a signature"

    one = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    other = models.ForeignKey(
        Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField()
    message_id = models.CharField(max_length=255, blank=True)
    way = models.PositiveSmallIntegerField(choices=Way, default=Way.MESSAGE)
    is_refused = models.BooleanField(
        default=False, help_text="It would make one customer of two who have different customer ids."
    )

    class Meta:
        """A pair is claimed once, the earliest time counts."""

        verbose_name = "identity conflict"
        constraints = (models.UniqueConstraint(fields=("one", "other"), name="pair_claimed_once"),)
        indexes = (
            models.Index(fields=("other",), name="claims_of_other"),
            models.Index(fields=("at",), name="refused_claims", condition=models.Q(is_refused=True)),
        )

    def __str__(self) -> str:
        return f"conflict {self.pk}"


class UnsignedLink(models.Model):
    """The earliest that browsers say of one id without a signature: that it goes with the other one.

    A browser and a customer id that name each other are linked, while nothing trusted has named the customer id.
    """

    kind = models.CharField(
        max_length=12, choices=Identity.Kind, help_text="The other id is of the other kind."
    )
    value = models.CharField(max_length=255)
    other = models.CharField(max_length=255, db_index=True)
    at = models.DateTimeField()
    message_id = models.CharField(max_length=255)
    source = models.ForeignKey("Source", on_delete=models.CASCADE, related_name="+", db_constraint=False)

    class Meta:
        """Of each id the earliest claim is kept, so what browsers say does not grow without limit."""

        constraints = (
            models.UniqueConstraint(fields=("kind", "value"), name="unsigned_claim_of_an_id_once"),
        )

    def __str__(self) -> str:
        return f"unsigned claim {self.pk}"


class Traits(models.Model):
    """What was told of a customer under one id: of each field the value, when, by which message, and how."""

    identity = models.OneToOneField(
        Identity, primary_key=True, on_delete=models.CASCADE, related_name="traits", db_constraint=False
    )
    told = models.JSONField(default=dict)
    is_crowded = models.BooleanField(
        default=False, help_text="It was complained of that the customer has too many attributes."
    )

    class Meta:
        """A word without a singular."""

        verbose_name_plural = "traits"

    def __str__(self) -> str:
        return f"{len(self.told)} traits of {self.identity_id}"


class OrderMessage(models.Model):
    """What one message says of an order; the order is what its trusted notes, by their times, add up to.

    Without any, it is a draft of what the browser says that named it first.
    """

    class Action(models.TextChoices):
        """What happened to the order."""

        COMPLETED = "completed"
        UPDATED = "updated"
        REFUNDED = "refunded"
        CANCELLED = "cancelled"

    message_id = models.CharField(max_length=255)
    is_from_browser = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Sent with the key of a browser, whose message ids are apart from all others.",
    )
    order_id = models.CharField(max_length=255, db_index=True)
    identity = models.ForeignKey(
        Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False, help_text="Who sent it."
    )
    at = models.DateTimeField()
    action = models.CharField(max_length=9, choices=Action)
    is_trusted = models.BooleanField(
        help_text="A server said so, or a browser of a source that trusts unsigned customer ids."
    )
    is_signed = models.BooleanField(
        default=False, db_default=False, help_text="The shop's server has signed whose order it is."
    )
    is_late = models.BooleanField(
        default=False, help_text="A file or the API had told of the order before any trusted sale."
    )
    told = models.JSONField(default=dict)

    class Meta:
        """A message is noted once."""

        constraints = (
            models.UniqueConstraint(fields=("message_id", "is_from_browser"), name="order_note_once"),
        )

    def __str__(self) -> str:
        return f"{self.order_id} {self.action}"
