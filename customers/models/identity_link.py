"""What messages say about identities, profile data and orders, each stored with its time.

Profiles are computed from these rows by their times, so the order in which messages arrive does not matter.
``customers.identity.assertions`` writes ``IdentityLink``, ``customers.identity.unsigned_links`` writes
``UnsignedLink``, ``customers.tracking.profiles`` writes ``Traits``, and ``customers.tracking.order_messages`` writes
``OrderMessage``.
"""

from django.db import models

from .customer import Identity


class IdentityLink(models.Model):
    """That two ids belong to one person, as a trusted sender says, and whether this was refused as a conflict."""

    class Origin(models.IntegerChoices):
        """Where the link comes from. Records come first, since no message undoes them."""

        RECORD = 0, "an event of a file or the API"
        MESSAGE = 1, "a message of a server, or of a browser with a signature"

    one = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    other = models.ForeignKey(
        Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField()
    message_id = models.CharField(max_length=255, blank=True)
    origin = models.PositiveSmallIntegerField(choices=Origin, default=Origin.MESSAGE)
    is_conflict = models.BooleanField(
        default=False, help_text="It would merge two customers with different customer ids."
    )

    class Meta:
        verbose_name = "identity conflict"
        constraints = (models.UniqueConstraint(fields=("one", "other"), name="identity_link_once"),)
        indexes = (
            models.Index(fields=("other",), name="identity_links_of_other"),
            models.Index(fields=("at",), name="identity_conflicts", condition=models.Q(is_conflict=True)),
        )

    def __str__(self) -> str:
        return f"conflict {self.pk}"


class UnsignedLink(models.Model):
    """The earliest unsigned assertion of browsers about one id: that it belongs with the other one.

    A browser and a customer id that name each other are linked, until a trusted sender names the customer id.
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
        constraints = (models.UniqueConstraint(fields=("kind", "value"), name="unsigned_link_of_id_once"),)

    def __str__(self) -> str:
        return f"unsigned link {self.pk}"


class Traits(models.Model):
    """The profile data sent under one id: for each field the value, when, by which message, and how."""

    identity = models.OneToOneField(
        Identity, primary_key=True, on_delete=models.CASCADE, related_name="traits", db_constraint=False
    )
    values = models.JSONField(default=dict)
    attribute_limit_reported = models.BooleanField(
        default=False, help_text="Whether the customer was reported for too many attributes."
    )

    class Meta:
        verbose_name_plural = "traits"

    def __str__(self) -> str:
        return f"{len(self.values)} traits of {self.identity_id}"


class OrderMessage(models.Model):
    """What one message says about an order. An order is computed from its trusted messages, by their times.

    Without any, it is a draft, from the first browser that mentioned it.
    """

    class Action(models.TextChoices):
        COMPLETED = "completed"
        UPDATED = "updated"
        REFUNDED = "refunded"
        CANCELLED = "cancelled"

    message_id = models.CharField(max_length=255)
    is_from_browser = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Sent with the key of a browser. Its message ids have a space of their own.",
    )
    order_id = models.CharField(max_length=255, db_index=True)
    identity = models.ForeignKey(
        Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False, help_text="Who sent it."
    )
    at = models.DateTimeField()
    action = models.CharField(max_length=9, choices=Action)
    is_trusted = models.BooleanField(
        help_text="Sent by a server, or by a browser of a source that trusts unsigned customer ids."
    )
    is_signed = models.BooleanField(
        default=False, db_default=False, help_text="The shop's server has signed the customer id."
    )
    is_late = models.BooleanField(
        default=False, help_text="A file or the API contained the order before any trusted message."
    )
    values = models.JSONField(default=dict)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("message_id", "is_from_browser"), name="order_message_once"),
        )

    def __str__(self) -> str:
        return f"{self.order_id} {self.action}"
