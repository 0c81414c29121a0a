"""Members and the log of their changes. Only ``segments.refresh.write`` and ``deletion`` write them."""

from django.db import models
from django.db.models import Q

from customers.models import Customer

from .refresh import Refresh
from .segment import Segment


class Membership(models.Model):
    """One customer in one segment. The key is the pair, so that the table can be distributed by customer."""

    pk = models.CompositePrimaryKey("customer_id", "segment_id")
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="memberships", db_index=False
    )
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="memberships", db_constraint=False, db_index=False
    )
    entered_at = models.DateTimeField()
    is_known = models.BooleanField(
        default=False, help_text="Whether the customer had an e-mail address or a phone number then."
    )

    class Meta:
        indexes = (
            models.Index(fields=("segment", "customer"), name="members_of_segment"),
            models.Index(fields=("segment", "is_known", "entered_at", "customer"), name="known_members"),
        )

    def __str__(self) -> str:
        return f"{self.customer_id} in {self.segment_id}"


class ChangeQuerySet(models.QuerySet["Change"]):
    def latest_id(self) -> int:
        """Return the highest id, or 0. Later changes of a segment get higher ids, as they are written in turn."""
        return self.order_by("-pk").values_list("pk", flat=True).first() or 0


class Change(models.Model):
    """One customer entered or left one segment.

    Changes of an erased customer have an empty ``public_id``, except for exits that still have to be told. Their
    customer is the key of a row that no longer exists.
    """

    class Kind(models.TextChoices):
        ENTERED = "entered"
        LEFT = "left"

    class Cause(models.TextChoices):
        ACTIVITY = "activity", "something was recorded about the customer"
        TIME = "time", "time passed"
        DEFINITION = "definition", "the segment was edited"
        POPULATION = "population", "the shop's average changed"
        MERGE = "merge", "two profiles were merged"
        ERASURE = "erasure", "the customer was erased"
        INITIAL = "initial", "the segment was filled for the first time"

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="changes", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.DO_NOTHING, db_constraint=False, related_name="changes"
    )
    public_id = models.CharField(
        max_length=255,
        blank=True,
        help_text="The customer's id at that time. After an erasure, only the last leaving keeps it, for a month.",
    )
    names_erased = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether the customer is erased, and this exit still has their id.",
    )
    change = models.CharField(max_length=7, choices=Kind)
    at = models.DateTimeField()
    cause = models.CharField(max_length=10, choices=Cause)
    refresh = models.ForeignKey(
        Refresh, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False, db_index=False
    )

    objects = ChangeQuerySet.as_manager()

    class Meta:
        indexes = (
            models.Index(fields=("segment", "id"), name="changes_of_segment"),
            models.Index(fields=("at",), name="named_erasures", condition=Q(names_erased=True)),
        )

    def __str__(self) -> str:
        return f"{self.public_id} {self.change} {self.segment_id}"


class DailyChangeCount(models.Model):
    """How many customers entered or left one segment on one day, for one cause.

    A chart of a quarter reads a few hundred of these rows instead of millions of changes.
    """

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="daily_counts", db_constraint=False, db_index=False
    )
    day = models.DateField(help_text="In the shop's time zone.")
    change = models.CharField(max_length=7, choices=Change.Kind)
    cause = models.CharField(max_length=10, choices=Change.Cause)
    customers = models.PositiveBigIntegerField()

    class Meta:
        verbose_name_plural = "daily change counts"
        constraints = (
            models.UniqueConstraint(
                fields=("segment", "day", "change", "cause"),
                name="one_count_a_day",
                violation_error_message="This day is counted already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.customers} {self.change} {self.segment_id} on {self.day}"
