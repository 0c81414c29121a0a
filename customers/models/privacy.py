"""The history of consent, erasures, and the tombstones of erased ids.

``customers.consent.states`` writes ``ConsentChange``, and ``customers.tracking.double_opt_in`` adds those of confirmed
addresses. ``customers.identity.tombstones`` writes ``Tombstone`` and ``Salt``, and ``customers.privacy.personal_data``
writes ``Erasure``.
"""

from django.db import models

from .customer import Customer


class ConsentChange(models.Model):
    """A change of a customer's newsletter consent."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="consent_changes")
    state = models.CharField(max_length=12, choices=Customer.Newsletter)
    at = models.DateTimeField(help_text="The time of the statement, or of its receipt if the shop sent none.")
    source = models.CharField(
        max_length=50, blank=True, default="", help_text="The source, such as `API` or `import 12`."
    )
    address = models.CharField(
        max_length=254, blank=True, default="", help_text="The address that confirmed it by a link."
    )
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When the confirmation was requested, if the address confirmed."
    )

    def __str__(self) -> str:
        return f"{self.state} at {self.at.isoformat()}"


class Erasure(models.Model):
    """An erasure: how many orders and events were deleted, without saying whose."""

    at = models.DateTimeField()
    by = models.CharField(
        max_length=150, blank=True, default="", help_text="A member of staff, or an API key."
    )
    orders = models.PositiveBigIntegerField(default=0)
    events = models.PositiveBigIntegerField(default=0)

    class Meta:
        # The permission to add an erasure is the permission to erase customers.
        ordering = ("-id",)
        permissions = (("export_customer", "Can export all data about a customer"),)

    def __str__(self) -> str:
        return f"Erasure {self.pk}"


class Tombstone(models.Model):
    """The salted digest of an id whose owner was erased.

    It recognizes the id when it is sent again, and reveals nothing else.
    """

    digest = models.CharField(max_length=40, primary_key=True)
    erased_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.digest


class Salt(models.Model):
    """One row: the secret of the digests of erased ids, created at the first erasure."""

    value = models.CharField(max_length=64)

    def __str__(self) -> str:
        return "the salt of erased ids"
