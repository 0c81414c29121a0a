"""Statements of newsletter consent, and suppressed addresses.

``customers.consent`` writes them: ``statements`` writes ``ConsentStatement``, ``addresses`` writes
``AddressUnsubscription``, and ``suppression`` writes ``Suppression``. When the owner of an address is erased,
``addresses`` replaces it by a digest. ``customers.tracking.double_opt_in`` writes ``ConfirmationRequest``.
"""

from django.db import models
from django.db.models import Q

from .customer import Customer, Identity


class ConsentMethod(models.TextChoices):
    """How consent was stated, as far as it matters which unsubscriptions a statement ends.

    ``FIRM`` statements have a date of their own, or are made by the person, staff or a mail server. ``FILE`` and
    ``API`` ones are undated and count from their arrival. ``CONFIRMED`` ones are made by the link in a message.
    """

    FIRM = "firm"
    FILE = "file"
    API = "api"
    BROWSER = "browser"
    CONFIRMED = "confirmed"


class ConsentStatement(models.Model):
    """The newest statement of a state that was made for an identity by one method."""

    class State(models.TextChoices):
        SUBSCRIBED = Customer.Newsletter.SUBSCRIBED.value
        UNSUBSCRIBED = Customer.Newsletter.UNSUBSCRIBED.value
        NEVER = Customer.Newsletter.NEVER.value
        PENDING = "pending"

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    state = models.CharField(max_length=12, choices=State)
    method = models.CharField(max_length=9, choices=ConsentMethod)
    at = models.DateTimeField(help_text="When it was made. Never later than its arrival.")
    address = models.CharField(
        max_length=800, blank=True, default="", help_text="The folded form of the address that it names."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("identity", "state", "method"), name="newest_consent_statement"),
        )

    def __str__(self) -> str:
        return f"{self.state} at {self.at.isoformat()}"


class _OfAddress(models.Model):
    """Something that holds for an address: stored folded, or as a salted digest once its owner is erased."""

    address = models.CharField(max_length=800, null=True, blank=True)  # noqa: DJ001 — unique, and not known
    digest = models.CharField(max_length=40, null=True, blank=True, editable=False)  # noqa: DJ001
    at = models.DateTimeField()
    source = models.CharField(
        max_length=50, blank=True, default="", help_text="The source, such as `API` or `import 12`."
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        # The audit log keeps this text, so it contains no address.
        return f"{self._meta.verbose_name} {self.pk}"


class AddressUnsubscription(_OfAddress):
    """The newest unsubscription of an address by one method. It holds for every customer with the address."""

    method = models.CharField(max_length=9, choices=ConsentMethod)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("address", "method"), name="newest_unsubscription_of_address"),
            models.UniqueConstraint(fields=("digest", "method"), name="newest_unsubscription_of_digest"),
        )


class Suppression(_OfAddress):
    """An address that gets no messages until staff lift the suppression."""

    class Reason(models.TextChoices):
        BOUNCED = "bounced", "the mailbox does not exist"
        COMPLAINED = "complained", "the recipient reported spam"
        STAFF = "staff", "staff suppressed it"

    reason = models.CharField(max_length=12, choices=Reason)
    detail = models.CharField(max_length=300, blank=True, default="", help_text="What the mail server said.")

    class Meta:
        """Latest first; an address is suppressed once."""

        ordering = ("-at", "-pk")
        constraints = (
            models.UniqueConstraint(fields=("address",), name="address_suppressed_once"),
            models.UniqueConstraint(fields=("digest",), name="digest_suppressed_once"),
        )


class ConfirmationRequest(models.Model):
    """A request of a browser to subscribe to the newsletter, which the owner of the address is asked to confirm."""

    class State(models.TextChoices):
        """What became of the message to the address."""

        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        HELD_BACK = "held_back", "held back"
        FAILED = "failed"

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    email = models.CharField(max_length=254)
    address = models.CharField(max_length=800, help_text="The folded form of the address.")
    mailbox = models.CharField(
        max_length=800, help_text="The folded form of the mailbox that the address leads to."
    )
    token = models.UUIDField(unique=True)
    asked_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=300, blank=True, default="")
    claimed_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Found by mailbox, and by what waits."""

        constraints = (
            models.UniqueConstraint(fields=("identity", "address", "asked_at"), name="asked_once"),
        )
        indexes = (
            models.Index(fields=("mailbox", "sent_at"), name="confirmations_of_mailbox"),
            models.Index(
                fields=("not_before",),
                name="confirmations_waiting",
                condition=Q(state__in=("waiting", "sending")),
            ),
        )

    def __str__(self) -> str:
        return f"confirmation {self.pk}"
