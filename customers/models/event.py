"""Events: what customers did. Written by ``customers.ingestion``; ``customers.identity`` reassigns them."""

from django.db import models

from core.values.decimals import ExactDecimalField

from .customer import Customer


class Event(models.Model):
    """Something that a customer did. ``RecordKey`` makes its message id unique.

    ``properties`` is stored as it was sent; ``properties_comparable`` holds the same values for rules to compare (see
    ``core.values.sortable_values``). The product columns hold the case-folded product of the properties themselves;
    products of a ``products`` list are rows of their own.
    """

    message_id = models.CharField(max_length=255)
    is_from_browser = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Sent with the key of a browser. Its message ids have a space of their own.",
    )
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="events", db_index=False)
    visitor_id = models.BigIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="The identity of the browser that sent it, if it named no customer id.",
    )
    name = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    properties = models.JSONField(default=dict, blank=True)
    properties_comparable = models.JSONField(default=dict, blank=True, editable=False)
    sku_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    name_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    category_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    brand_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    product_value = ExactDecimalField(
        null=True, blank=True, help_text="Price × quantity of the product. Empty without a price."
    )
    product_quantity = ExactDecimalField(
        null=True, blank=True, help_text="The quantity of the product. Empty if it is 1 or not sent."
    )

    class Meta:
        indexes = (
            models.Index(fields=("customer", "occurred_at"), name="events_of_customer"),
            models.Index(fields=("occurred_at",), name="events_by_time"),
        )

    def __str__(self) -> str:
        return self.name


class EventProduct(models.Model):
    """One product of an event's ``products`` list, case-folded."""

    event = models.ForeignKey(
        Event, on_delete=models.CASCADE, related_name="products", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="+", db_index=False)
    sku_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    name_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    category_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)
    brand_folded = models.CharField(max_length=3000, blank=True, default="", editable=False)

    class Meta:
        indexes = (models.Index(fields=("customer", "event"), name="products_of_event"),)

    def __str__(self) -> str:
        return self.name_folded or self.sku_folded
