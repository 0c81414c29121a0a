"""Facts: one row for each customer that sums up the records.

Written by ``customers.facts``. ``customers.ingestion`` fills the queues of appended records, and a refresh of segments
empties ``Touched``.
"""

from django.db import models
from django.db.models import BigIntegerField, DateTimeField

from core.values.decimals import ExactDecimalField

from .customer import Customer


class FactColumns(models.Model):
    """The columns of a row of facts. ``customers.facts.definitions`` declares each one.

    Amounts, quantities, shares and days are whole ten-thousandths.
    """

    order_count = BigIntegerField(default=0)
    total_spent = BigIntegerField(default=0)
    average_order_value = BigIntegerField(null=True)
    first_order_at = DateTimeField(null=True)
    last_order_at = DateTimeField(null=True)
    order_2_at = DateTimeField(null=True)
    order_3_at = DateTimeField(null=True)
    order_4_at = DateTimeField(null=True)
    order_5_at = DateTimeField(null=True)
    days_between_orders = BigIntegerField(null=True)
    discounted_count = BigIntegerField(default=0)
    discounted_order_share = BigIntegerField(null=True)
    refund_count = BigIntegerField(default=0)
    any_order_at = DateTimeField(null=True)
    uncancelled_order_at = DateTimeField(null=True)
    event_count = BigIntegerField(default=0)
    session_count = BigIntegerField(default=0)
    last_event_at = DateTimeField(null=True)
    last_added_at = DateTimeField(null=True)
    cart_value = BigIntegerField(default=0)
    cart_quantity = BigIntegerField(default=0)
    first_seen_at = DateTimeField()
    last_activity_at = DateTimeField()
    newest_at = DateTimeField(null=True)

    class Meta:
        abstract = True


class Facts(FactColumns):
    """The facts of a customer at the instant of the totals: see ``customers.facts.totals``."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.CASCADE, related_name="facts"
    )

    class Meta:
        verbose_name_plural = "facts"
        indexes = (
            models.Index(fields=("first_seen_at",), name="facts_by_first_seen"),
            *(
                models.Index(
                    fields=(column,), name=f"buyers_by_{name}", condition=models.Q(order_count__gte=1)
                )
                for column, name in (
                    ("total_spent", "total_spent"),
                    ("average_order_value", "average_value"),
                    ("order_count", "order_count"),
                    ("last_order_at", "last_order"),
                )
            ),
        )

    def __str__(self) -> str:
        return f"facts of {self.customer_id}"


class FactsAsOf(FactColumns):
    """The same at another instant: a temporary table of the connection, filled by ``customers.facts.relations``."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.DO_NOTHING, related_name="facts_as_of"
    )

    class Meta:
        managed = False
        db_table = "customers_facts_as_of"

    def __str__(self) -> str:
        return f"facts of {self.customer_id}"


class PartialTotals(models.Model):
    """The totals of buyers are the sums of all rows, and the instant of the stored facts is the latest of all rows.

    There is one row for each part of the customers. The transaction that updates facts of a part locks its row, and
    adds what was gained to a row that it has locked. A buyer has a counting order. Amounts are whole ten-thousandths.
    ``buyers_version`` counts the changes of buyers' orders.
    """

    updated_until = DateTimeField()
    customers = BigIntegerField(default=0)
    buyers = BigIntegerField(default=0)
    total_spent = BigIntegerField(default=0)
    average_order_value = BigIntegerField(default=0)
    buyers_version = BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "partial totals"

    def __str__(self) -> str:
        return f"part {self.pk}"


class Queued(models.Model):
    """A row of a queue: append-only, several rows for one customer allowed, written in the transaction that caused
    it.
    """

    customer_id = BigIntegerField(db_index=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.customer_id)


class StaleFacts(Queued):
    """Customers whose facts must be recomputed from their records."""

    merged = models.BooleanField(default=False, db_default=False, help_text="Two profiles were merged.")

    class Meta:
        verbose_name_plural = "stale facts"


class AppendedEvent(Queued):
    """A new event, with the columns that facts need."""

    occurred_at = DateTimeField()
    name = models.CharField(max_length=255)
    product_value = ExactDecimalField(null=True)
    product_quantity = ExactDecimalField(null=True)


class AppendedOrder(Queued):
    """A new order, with the columns that facts need."""

    placed_at = DateTimeField()
    status = models.CharField(max_length=9)
    total = ExactDecimalField()
    discount_total = ExactDecimalField()
    refunded_total = ExactDecimalField()
    coupon_code = models.CharField(max_length=255)


class Touched(Queued):
    """Customers whose facts were updated since the last refresh. Segments empty this queue."""

    recorded = models.BooleanField(
        help_text="Something was recorded. Otherwise the date of a record has come."
    )
    merged = models.BooleanField(default=False, db_default=False, help_text="Two profiles were merged.")

    class Meta:
        verbose_name_plural = "touched"


class Upcoming(models.Model):
    """Customers with a record, or a first-seen date, later than the facts' instant: the earliest of these dates."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.CASCADE, related_name="upcoming"
    )
    due_at = DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "upcoming"

    def __str__(self) -> str:
        return f"{self.customer_id} at {self.due_at.isoformat()}"
