"""The facts: one row a customer that sums up the records. Written by ``customers.facts`` alone."""

from django.db import models
from django.db.models import BigIntegerField, DateTimeField

from .customer import Customer


class FactColumns(models.Model):
    """The columns of a row of facts; ``customers.facts`` declares what each one means.

    Amounts, shares and days are whole ten-thousandths.
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
    first_seen_at = DateTimeField()
    last_activity_at = DateTimeField()
    newest_at = DateTimeField(null=True)
    settled_at = DateTimeField()

    class Meta:
        """Two tables share these columns."""

        abstract = True


class Facts(FactColumns):
    """What the records of a customer add up to, all of them, future ones included."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.CASCADE, related_name="facts"
    )

    class Meta:
        """A mass noun."""

        verbose_name_plural = "facts"

    def __str__(self) -> str:
        return f"facts of {self.customer_id}"


class FactsAsOf(FactColumns):
    """The same as of one instant: a temporary table of the connection, filled by ``customers.facts``."""

    customer = models.OneToOneField(
        Customer, primary_key=True, on_delete=models.DO_NOTHING, related_name="facts_as_of"
    )

    class Meta:
        """No migration makes this table."""

        managed = False
        db_table = "customers_facts_as_of"

    def __str__(self) -> str:
        return f"facts of {self.customer_id}"


class StaleFacts(models.Model):
    """The queue of customers whose records changed since their facts were settled.

    Append-only, several rows a customer allowed; written in the transaction of the records.
    """

    customer_id = models.BigIntegerField()

    class Meta:
        """A queue."""

        verbose_name_plural = "stale facts"

    def __str__(self) -> str:
        return str(self.customer_id)
