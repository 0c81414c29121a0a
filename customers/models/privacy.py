"""The history of consent, erasures, and the tombstones of erased ids.

``customers.consent.states`` writes ``ConsentChange``, ``customers.identity.tombstones`` writes ``Tombstone`` and
``Salt``, and ``customers.privacy.personal_data`` writes ``Erasure``.
"""

from django.db import models

from .customer import Customer


class ConsentChange(models.Model):
    """The newsletter consent of a customer took another state."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="consent_changes")
    state = models.CharField(max_length=12, choices=Customer.Newsletter)
    at = models.DateTimeField(
        help_text="When the customer said so, as far as the shop told; else when we heard."
    )
    source = models.CharField(max_length=50, blank=True, default="", help_text="What brought it here.")
    address = models.CharField(
        max_length=254, blank=True, default="", help_text="The address that confirmed it by a link."
    )
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When the address was asked for, where it confirmed."
    )

    def __str__(self) -> str:
        return f"{self.state} at {self.at.isoformat()}"


class Erasure(models.Model):
    """Somebody was erased: what that took away, counted, and not whose it was."""

    at = models.DateTimeField()
    by = models.CharField(max_length=150, blank=True, default="", help_text="Who of the staff, or which key.")
    orders = models.PositiveBigIntegerField(default=0)
    events = models.PositiveBigIntegerField(default=0)

    class Meta:
        """Latest first. Who may add one may erase customers."""

        ordering = ("-id",)
        permissions = (("export_customer", "Can export all that is known of a customer"),)

    def __str__(self) -> str:
        return f"Erasure {self.pk}"


class Tombstone(models.Model):
    """The salted digest of an id whose owner was erased: it tells the id when it is sent again, and nothing else."""

    digest = models.CharField(max_length=40, primary_key=True)
    erased_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.digest


class Salt(models.Model):
    """One row: the secret that goes into the digests of erased ids, drawn at the first erasure."""

    value = models.CharField(max_length=64)

    def __str__(self) -> str:
        return "the salt of erased ids"
