"""Coupon pools and their codes."""

from django.db import models
from django.db.models import Q

from customers.models import Customer

from .campaign import Campaign


class CouponPool(models.Model):
    """Coupon codes of one kind. Written by ``campaigns.coupons.coupon_pool``."""

    name = models.CharField(max_length=200, unique=True)
    description = models.CharField(
        max_length=200, blank=True, default="", help_text="What a code is worth, such as “10 % off”."
    )
    last_day = models.DateField(
        null=True,
        blank=True,
        help_text="The last day on which codes are given and count as used. Leave empty for no end.",
    )
    ends_at = models.DateTimeField(null=True, editable=False, help_text="The end of the last day.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        verbose_name = "pool of coupons"
        verbose_name_plural = "coupons"

    def __str__(self) -> str:
        return self.name


class Coupon(models.Model):
    """One code, assigned to at most one customer, campaign and occasion.

    ``campaigns.coupons.pool_codes`` adds codes, ``coupon_pool`` assigns and deletes them, ``redemption`` writes
    ``redeemed_at``.
    """

    pool = models.ForeignKey(
        CouponPool, on_delete=models.CASCADE, related_name="coupons", db_constraint=False
    )
    code = models.CharField(max_length=100)
    code_folded = models.CharField(
        max_length=200, unique=True, help_text="The code, folded for comparison with orders."
    )
    customer = models.ForeignKey(
        Customer, null=True, on_delete=models.SET_NULL, related_name="coupons", db_constraint=False
    )
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.SET_NULL, related_name="coupons", db_constraint=False
    )
    occasion = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="What started the journey that the code was given on.",
    )
    given_at = models.DateTimeField(
        null=True, help_text="The code is never given out again, even after the customer is erased."
    )
    is_unconfirmed = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The code was given to a visitor known only from browsers.",
    )
    redeemed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "customer", "occasion"),
                name="coupon_once",
                violation_error_message="This customer has a code of this campaign for this occasion already.",
            ),
        )
        indexes = (
            models.Index(fields=("pool", "id"), name="free_coupons", condition=Q(given_at=None)),
            models.Index(
                fields=("pool", "given_at"), name="unconfirmed_coupons", condition=Q(is_unconfirmed=True)
            ),
        )

    def __str__(self) -> str:
        return self.code
