"""Customers, and the ids that lead to them.

``customers.ingestion`` writes customers, ``customers.identity`` creates and merges them, and ``customers.consent``
writes their consent. Several modules of ``customers.identity`` write ``Identity``: ``resolution``,
``staged_customers`` and ``assertions`` create rows, ``moves`` and ``merging`` move them to another customer.
"""

import re
from typing import Final, Self

from django.db import models
from django.db.models import BigIntegerField, Case, Q, Value, When

ANONYMOUS_PREFIX = "anonymous:"
MAX_SOURCE_LENGTH: Final = 40

# Ids of browsers and keys of databases, which nobody recognizes a person by.
_OPAQUE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{20,}", re.IGNORECASE)
_NO_SOURCE = re.compile(r"\(?(direct|none|not set|unknown)\)?", re.IGNORECASE)


class CustomerQuerySet(models.QuerySet["Customer"]):
    def existing(self) -> Self:
        """Leave out profiles that were merged into another one."""
        return self.filter(merged_into=None)

    @staticmethod
    def known_q() -> Q:
        """Return a condition for customers with an e-mail address or phone number. Indexes of both columns serve it."""
        return Q(email__gt="") | Q(phone__gt="")

    @classmethod
    def known_number(cls) -> Case:
        """Return an expression: 1 for known customers, else 0."""
        return Case(When(cls.known_q(), then=Value(1)), default=Value(0), output_field=BigIntegerField())

    def known(self) -> Self:
        return self.filter(self.known_q())

    def known_first(self) -> Self:
        """Sort known customers before visitors, the newest first. All rows are sorted: use it for few."""
        return self.order_by(self.known_number().desc(), "-pk")


class Customer(models.Model):
    """One person or anonymous visitor of the shop.

    An empty text is a missing value. Columns named ``*_folded`` hold the same text, case-folded in any script, for
    rules to compare; ``attributes_comparable`` does so for attributes. Columns named ``*_unaccented`` hold it in
    lower-case ASCII, for ``search_text``.
    """

    class Newsletter(models.TextChoices):
        SUBSCRIBED = "subscribed"
        UNSUBSCRIBED = "unsubscribed"
        NEVER = "never"

    customer_id = models.CharField(
        max_length=255,
        help_text="The public id: the shop's own id, or anonymous:… for a visitor without one.",
    )
    email = models.CharField(max_length=254, blank=True, default="")
    email_folded = models.CharField(
        max_length=800,
        blank=True,
        default="",
        editable=False,
        help_text="The folded address. Consent and frequency caps count by it.",
    )
    email_is_trusted = models.BooleanField(
        default=True,
        db_default=True,
        editable=False,
        help_text="Whether the address comes from anywhere but a browser.",
    )
    phone = models.CharField(max_length=40, blank=True, default="")
    first_name = models.CharField(max_length=255, blank=True, default="")
    last_name = models.CharField(max_length=255, blank=True, default="")
    first_name_unaccented = models.CharField(
        max_length=255, blank=True, default="", db_default="", editable=False
    )
    last_name_unaccented = models.CharField(
        max_length=255, blank=True, default="", db_default="", editable=False
    )
    search_text = models.CharField(
        max_length=1320,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="The name and the e-mail address, each part after a space.",
    )
    country = models.CharField(max_length=255, blank=True, default="")
    city = models.CharField(max_length=255, blank=True, default="")
    language = models.CharField(max_length=255, blank=True, default="")
    source = models.CharField(max_length=255, blank=True, default="")
    country_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    city_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    language_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    source_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    birth_date = models.DateField(null=True, blank=True)
    birthday = models.PositiveSmallIntegerField(
        null=True, blank=True, editable=False, help_text="Month and day as one number: 229 is 29 February."
    )
    newsletter = models.CharField(max_length=12, choices=Newsletter, default=Newsletter.NEVER)
    subscribed_at = models.DateTimeField(null=True, blank=True)
    pending_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When a browser asked for the newsletter. The address has not confirmed it yet.",
    )
    first_seen = models.DateTimeField(null=True, blank=True, help_text="As the shop sent it.")
    first_seen_given = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="As a file or the API sent it. A message may have an earlier time.",
    )
    attributes = models.JSONField(default=dict, blank=True)
    attributes_comparable = models.JSONField(default=dict, blank=True, editable=False)
    recorded_at = models.DateTimeField(help_text="When the customer was created in this database.")
    merged_into = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        db_constraint=False,
        on_delete=models.CASCADE,
        related_name="merged",
        help_text="The customer that this profile was merged into.",
    )

    objects = CustomerQuerySet.as_manager()

    class Meta:
        """Found by id, e-mail address and phone number, whole or by how they begin: one index serves both."""

        permissions = (("view_contact_data", "Can see contact data"),)
        constraints = (
            models.UniqueConstraint(
                fields=("customer_id",),
                name="customer_once",
                opclasses=("varchar_pattern_ops",),
                violation_error_message="There is a customer with this id already.",
            ),
        )
        indexes = (
            models.Index(fields=("email",), name="customers_by_email", opclasses=("varchar_pattern_ops",)),
            models.Index(fields=("phone",), name="customers_by_phone", opclasses=("varchar_pattern_ops",)),
            models.Index(fields=("email_folded",), name="customers_by_address"),
            *(
                models.Index(
                    fields=(column,),
                    name=f"customers_by_{column}",
                    condition=models.Q(**{f"{column}__isnull": False}),
                )
                for column in ("birthday", "subscribed_at", "pending_at")
            ),
            models.Index(
                fields=("search_text", "id"),
                name="customers_by_search_text",
                condition=models.Q(search_text__gt=""),
            ),
            models.Index(
                fields=("merged_into",),
                name="merged_customers",
                condition=models.Q(merged_into__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.customer_id

    @property
    def name(self) -> str:
        """Return what staff call the customer: by name, address, number or the shop's id, or as a visitor.

        Never an id that says nothing to people. Visits and orders are read from ``facts``: a list of customers
        selects them, too (``select_related("facts")``), or reads them once for each visitor.
        """
        called = f"{self.first_name} {self.last_name}".strip() or self.email or self.phone
        if called:
            return called
        if self.readable_id:
            return self.readable_id if "@" in self.readable_id else f"Customer {self.readable_id}"
        facts = getattr(self, "facts", None)
        if self.is_visitor:
            source = self.source.strip()[:MAX_SOURCE_LENGTH]
            origin = (
                f" from {source[:1].upper()}{source[1:]}"
                if not _NO_SOURCE.fullmatch(source or "none")
                else ""
            )
            return f"Visitor{origin}{_count_phrase(facts and facts.session_count, 'visit')}"
        return f"Customer{_count_phrase(facts and facts.order_count, 'order')}"

    @property
    def readable_id(self) -> str:
        """Return the public id, or an empty text if it is that of a browser or a long random one."""
        is_opaque = self.is_visitor or _OPAQUE_ID.search(self.customer_id)
        return "" if is_opaque else self.customer_id

    @property
    def is_visitor(self) -> bool:
        """Whether the shop has no id of its own for the customer."""
        return self.customer_id.startswith(ANONYMOUS_PREFIX)

    @property
    def is_known(self) -> bool:
        return bool(self.email or self.phone)


def _count_phrase(count: int | None, noun: str) -> str:
    """Return “, 3 visits”, or nothing for none."""
    return f", {count:,} {noun}{'' if count == 1 else 's'}" if count else ""


class DatedAttribute(models.Model):
    """An attribute that is a date or time, stored beside the customer's other attributes so that filters find it by
    time.
    """

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=1200, help_text="As in ``attributes_comparable``.")
    at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("name", "at"), name="attributes_by_time"),)

    def __str__(self) -> str:
        return f"{self.name} at {self.at.isoformat()}"


class Identity(models.Model):
    """An id that leads to a customer. Several ids may lead to the same one."""

    class Kind(models.TextChoices):
        CUSTOMER_ID = "customer_id", "customer id"
        ANONYMOUS_ID = "anonymous_id", "anonymous id"
        EMAIL = "email", "e-mail address"
        PHONE = "phone", "phone number"

    kind = models.CharField(max_length=12, choices=Kind)
    value = models.CharField(max_length=255)
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="identities", db_constraint=False
    )
    is_trusted = models.BooleanField(
        default=True,
        db_default=True,
        help_text="False for a customer id that only a browser has named, without a signature.",
    )

    class Meta:
        verbose_name_plural = "identities"
        indexes = (
            models.Index(
                fields=("value",), name="untrusted_identities", condition=models.Q(is_trusted=False)
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "value"),
                name="identity_leads_to_one_customer",
                violation_error_message="This id already belongs to a customer.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"
