"""The facts: one row a customer that sums up the records. Written by ``customers.facts.update`` alone."""

from django.db import models
from django.db.models import BigIntegerField, DateTimeField

from core.values.decimals import ExactDecimalField

from .customer import Customer


class FactColumns(models.Model):
    """The columns of a row of facts; ``customers.facts.update`` declares what each one means.

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
        """Two tables share these columns."""

        abstract = True


class Facts(FactColumns):
    """What the records of a customer add up to, as of the instant in ``Totals``."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.CASCADE, related_name="facts"
    )

    class Meta:
        """Time, and figures of the buyers that move, ask for ranges of these; events alter none of them."""

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
    """The same as of one instant: a temporary table of the connection, filled by ``customers.facts.update``."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.DO_NOTHING, related_name="facts_as_of"
    )

    class Meta:
        """No migration makes this table."""

        managed = False
        db_table = "customers_facts_as_of"

    def __str__(self) -> str:
        return f"facts of {self.customer_id}"


class Totals(models.Model):
    """One row: the instant all stored rows stand for, and what the buyers' rows add up to.

    A buyer has a counting order. Amounts are whole ten-thousandths; ``buyers_version`` counts the changes of
    buyers' orders.
    """

    settled_at = DateTimeField()
    customers = BigIntegerField(default=0)
    buyers = BigIntegerField(default=0)
    total_spent = BigIntegerField(default=0)
    average_order_value = BigIntegerField(default=0)
    buyers_version = BigIntegerField(default=0)

    class Meta:
        """One row."""

        verbose_name_plural = "totals"

    def __str__(self) -> str:
        return f"{self.customers} customers"


class Queued(models.Model):
    """A row of a queue: append-only, several rows a customer allowed, written in the transaction of its reason."""

    customer_id = BigIntegerField(db_index=True)

    class Meta:
        """Each queue is a table."""

        abstract = True

    def __str__(self) -> str:
        return str(self.customer_id)


class StaleFacts(Queued):
    """Customers to be summed up again from their records."""

    merged = models.BooleanField(default=False, db_default=False, help_text="Two histories became one.")

    class Meta:
        """A queue."""

        verbose_name_plural = "stale facts"


class AppendedEvent(Queued):
    """A new event, with what the facts need of it."""

    occurred_at = DateTimeField()
    name = models.CharField(max_length=255)
    product_value = ExactDecimalField(null=True)
    product_quantity = ExactDecimalField(null=True)


class AppendedOrder(Queued):
    """A new order, with what the facts need of it."""

    placed_at = DateTimeField()
    status = models.CharField(max_length=9)
    total = ExactDecimalField()
    discount_total = ExactDecimalField()
    refunded_total = ExactDecimalField()
    coupon_code = models.CharField(max_length=255)


class Touched(Queued):
    """Customers whose facts were settled since segments looked at them last; ``segments`` empties this queue."""

    recorded = models.BooleanField(help_text="Something was recorded; otherwise time reached a record.")
    merged = models.BooleanField(default=False, db_default=False, help_text="Two histories became one.")

    class Meta:
        """A queue."""

        verbose_name_plural = "touched"


class Upcoming(models.Model):
    """Customers with a record, or a first meeting, later than the facts' instant: the earliest of these."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.CASCADE, related_name="upcoming"
    )
    due_at = DateTimeField(db_index=True)

    class Meta:
        """A mass noun."""

        verbose_name_plural = "upcoming"

    def __str__(self) -> str:
        return f"{self.customer_id} at {self.due_at.isoformat()}"
