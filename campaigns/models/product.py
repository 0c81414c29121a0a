"""Products learned from orders and events. Written by ``campaigns.recommendations.products`` alone."""

from django.db import models

from core.values.decimals import ExactDecimalField


class SoldProduct(models.Model):
    """A product in the orders of the last year. Written by ``campaigns.recommendations.products``."""

    sku = models.CharField(max_length=255)
    sku_folded = models.CharField(max_length=800, unique=True)
    name = models.CharField(max_length=1000, blank=True, default="")
    category = models.CharField(max_length=255, blank=True, default="")
    brand = models.CharField(max_length=255, blank=True, default="")
    category_folded = models.CharField(max_length=800, blank=True, default="")
    brand_folded = models.CharField(max_length=800, blank=True, default="")
    price = ExactDecimalField(default=0)
    url = models.CharField(
        max_length=1000, blank=True, default="", help_text="Its page in the shop, from the latest event."
    )
    image = models.CharField(max_length=1000, blank=True, default="")
    orders = models.PositiveBigIntegerField(help_text="The number of counting orders with it.")
    first_at = models.DateTimeField(
        null=True, help_text="When it was first ordered, or first named by the shop's server."
    )
    learned_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=("category_folded", "-orders"), name="sold_of_category"),
            models.Index(fields=("brand_folded", "-orders"), name="sold_of_brand"),
            models.Index(fields=("-orders", "sku_folded"), name="sold_most"),
        )

    def __str__(self) -> str:
        return self.name or self.sku


class BoughtTogether(models.Model):
    """Two products that are bought together more often than by chance.

    Written by ``campaigns.recommendations.products``.
    """

    product = models.ForeignKey(
        SoldProduct, on_delete=models.CASCADE, related_name="bought_with", db_constraint=False, db_index=False
    )
    other = models.ForeignKey(
        SoldProduct, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    orders = models.PositiveBigIntegerField(help_text="How many orders contain both.")
    lift = ExactDecimalField(help_text="How many times more often than by chance.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("product", "other"),
                name="pair_once",
                violation_error_message="This pair is known already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.product_id} with {self.other_id}"
