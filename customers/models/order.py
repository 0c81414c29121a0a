"""Orders and order lines. Written by ``customers.ingestion``; ``customers.identity`` reassigns them."""

from typing import Final

from django.db import models

from core.values.decimals import ExactDecimalField

from .customer import Customer

COUNTING_STATUSES: Final = ("paid", "fulfilled")


class Order(models.Model):
    """What a customer bought at one time. It counts if it is paid or fulfilled.

    ``RecordKey`` makes its order id unique.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        PAID = "paid"
        FULFILLED = "fulfilled"
        CANCELLED = "cancelled"
        REFUNDED = "refunded"

    order_id = models.CharField(max_length=255)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders", db_index=False)
    placed_at = models.DateTimeField()
    status = models.CharField(max_length=9, choices=Status, default=Status.PAID)
    total = ExactDecimalField(default=0)
    discount_total = ExactDecimalField(default=0)
    refunded_total = ExactDecimalField(default=0)
    currency = models.CharField(max_length=3)
    coupon_code = models.CharField(max_length=255, blank=True, default="")
    coupon_code_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    is_draft = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Only browsers have reported it. A report of a server, the API or a file replaces it.",
    )

    class Meta:
        indexes = (
            models.Index(fields=("customer", "placed_at"), name="orders_of_customer"),
            models.Index(fields=("placed_at",), name="orders_by_time"),
        )

    def __str__(self) -> str:
        return self.order_id


class OrderLine(models.Model):
    """One product of an order; a negative quantity is a return."""

    order = models.ForeignKey(
        Order, on_delete=models.CASCADE, related_name="lines", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="lines", db_index=False)
    key = models.CharField(
        max_length=600,
        help_text="= and the id that the shop sent, or the number among equal lines, and the sku.",
    )
    sku = models.CharField(max_length=255, blank=True, default="")
    name = models.CharField(max_length=1000, blank=True, default="")
    category = models.CharField(max_length=255, blank=True, default="")
    brand = models.CharField(max_length=255, blank=True, default="")
    sku_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    name_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    category_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    brand_folded = models.CharField(max_length=800, blank=True, default="", editable=False)
    quantity = ExactDecimalField(default=1)
    unit_price = ExactDecimalField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("customer", "order", "key"),
                name="line_once_in_an_order",
                violation_error_message="The order already has this line.",
            ),
        )

    def __str__(self) -> str:
        return self.name or self.sku


def lines_of(customer: Customer) -> "models.Prefetch[str, models.QuerySet[OrderLine], str]":
    """Return what ``prefetch_related`` of a customer's orders needs to find their lines by the customer, too."""
    return models.Prefetch("lines", OrderLine.objects.filter(customer=customer))
