"""Campaigns, and what became of them for each customer. The room that writes a table is named at its model.

Everything that is about a customer is deleted with them.
"""

import uuid
from datetime import timedelta

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from customers.exact import ExactDecimalField
from customers.models import Customer
from segments.models import Segment


class Pool(models.Model):
    """Coupon codes of one kind, to give away one by one. Written by ``campaigns.coupons``."""

    name = models.CharField(max_length=200, unique=True)
    description = models.CharField(
        max_length=200, blank=True, default="", help_text="What a code is worth, such as “10 % off”."
    )
    last_day = models.DateField(
        null=True,
        blank=True,
        help_text="Until when its codes are given and count as used, in the shop's time zone. Empty: no end.",
    )
    ends_at = models.DateTimeField(null=True, editable=False, help_text="The end of the last day.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Listed by name."""

        ordering = ("name",)
        verbose_name = "pool of coupons"
        verbose_name_plural = "coupons"

    def __str__(self) -> str:
        return self.name


class Campaign(models.Model):
    """What is done for the customers of a segment. Written by ``campaigns.running``; its cursor by ``triggers``."""

    class State(models.TextChoices):
        """Whether it goes on."""

        DRAFT = "draft"
        RUNNING = "running"
        PAUSED = "paused"
        STOPPED = "stopped"
        DONE = "done"

    class Trigger(models.TextChoices):
        """What begins it for a customer."""

        ENTERS = "enters", "a customer enters the segment"
        LEAVES = "leaves", "a customer leaves the segment"
        AT = "at", "a date, for all members"
        EVERY = "every", "again and again, for all members"

    name = models.CharField(max_length=200)
    segment = models.ForeignKey(
        Segment, on_delete=models.PROTECT, related_name="campaigns", db_constraint=False
    )
    tactic = models.CharField(max_length=50, blank=True, default="", editable=False)
    state = models.CharField(max_length=7, choices=State, default=State.DRAFT, editable=False)
    trigger = models.CharField("begins when", max_length=6, choices=Trigger, default=Trigger.ENTERS)
    starts_at = models.DateTimeField(
        null=True, blank=True, help_text="For a date, and for the first time of those that repeat."
    )
    repeats_every = models.DurationField(
        null=True, blank=True, validators=[MinValueValidator(timedelta(days=1))]
    )
    reentry_after = models.DurationField(
        "again after",
        null=True,
        blank=True,
        validators=[MinValueValidator(timedelta())],
        help_text="How long after its beginning a customer may begin once more; empty for never.",
    )
    is_only_for_members = models.BooleanField(
        "only while they stay",
        default=True,
        help_text="Ends for whoever leaves the segment; of those who left, for whoever comes back.",
    )
    ends_with_order = models.BooleanField("ends when they order", default=False)
    takes_mass_changes = models.BooleanField(
        "also for mass entries",
        default=False,
        help_text="Begins also for those whom the first filling or an edited rule brings.",
    )
    takes_members = models.BooleanField(
        "also for present members",
        default=False,
        help_text="Begins also, once, for those who are members when it is started.",
    )
    quiet_from = models.TimeField(
        null=True, blank=True, help_text="In the customer's time zone; nothing is sent from here …"
    )
    quiet_until = models.TimeField(null=True, blank=True, help_text="… until here.")
    pool = models.ForeignKey(
        Pool,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        db_constraint=False,
        help_text="Where each customer's coupon code comes from.",
    )
    answers = models.JSONField(
        default=dict, blank=True, editable=False, help_text="What staff have filled into its texts, by name."
    )
    cursor = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="The last change of the segment that was read."
    )
    occasions_until = models.DateTimeField(
        null=True,
        editable=False,
        help_text="Until when the dates, or its start for present members, were carried out.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    created_by_name = models.CharField(max_length=150, blank=True, default="", editable=False)

    class Meta:
        """Latest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name


class Step(models.Model):
    """One message of a campaign. Written by ``campaigns.running``."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField(help_text="From 1.")
    wait = models.DurationField(
        default=timedelta(),
        validators=[MinValueValidator(timedelta())],
        help_text="After the beginning, or after the step before.",
    )
    # Without choices: campaigns.channels knows them, so that a new channel needs no migration.
    channel = models.CharField(max_length=20, default="email", help_text="The key of a channel.")
    subject = models.CharField(max_length=200, blank=True, default="")
    text = models.TextField(
        blank=True, default="", help_text="The plain text, in Django's template language."
    )
    html = models.TextField(blank=True, default="", help_text="The same as HTML.")
    url = models.CharField(
        max_length=500, blank=True, default="", help_text="Where a webhook goes, or an on-site message leads."
    )

    class Meta:
        """In their order."""

        ordering = ("number",)
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "number"),
                name="step_once",
                violation_error_message="There is such a step already.",
            ),
        )

    def __str__(self) -> str:
        return f"Step {self.number} of {self.campaign_id}"


class Journey(models.Model):
    """One customer's way through one campaign, from one occasion. Written by ``campaigns.journeys``."""

    class State(models.TextChoices):
        """Whether more is to come."""

        ACTIVE = "active"
        FINISHED = "finished"
        STOPPED = "stopped"

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="journeys", db_constraint=False
    )
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="journeys")
    occasion = models.CharField(
        max_length=64, help_text="What began it: `change:42`, or `date:` and an instant."
    )
    began_at = models.DateTimeField()
    next_step = models.PositiveSmallIntegerField(default=1)
    due_at = models.DateTimeField(null=True, help_text="When the next step is; none once it is over.")
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    ended_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        """Due ones are found by time."""

        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "customer", "occasion"),
                name="journey_once",
                violation_error_message="This customer has begun from there already.",
            ),
        )
        indexes = (models.Index(fields=("due_at",), name="due_journeys", condition=Q(state="active")),)

    def __str__(self) -> str:
        return f"{self.customer_id} in campaign {self.campaign_id} since {self.began_at}"


class Delivery(models.Model):
    """One message to one customer: planned, then claimed, then sent or not. Written by ``campaigns.delivering``.

    Its clicks are written by ``campaigns.links``; what a page shows, and closes, by ``campaigns.showing``.
    What may hold it back (consent, cap, quiet hours) is asked at its sending.
    """

    class State(models.TextChoices):
        """How far it got."""

        PLANNED = "planned"
        SENDING = "sending"
        SENT = "sent"
        WRITTEN = "written", "written to a file"
        FAILED = "failed"
        HELD_BACK = "held_back", "held back"

    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False
    )
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="deliveries")
    occasion = models.CharField(max_length=64)
    token = models.UUIDField(
        default=uuid.uuid4, unique=True, help_text="Names it in the links of its message, and as Message-ID."
    )
    state = models.CharField(max_length=9, choices=State, default=State.PLANNED)
    planned_for = models.DateTimeField(help_text="When the rules call for it.")
    not_before = models.DateTimeField(
        help_text="Later than planned after quiet hours, or for another attempt."
    )
    claimed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    reason = models.CharField(
        max_length=300, blank=True, default="", help_text="Why it failed or was held back."
    )
    content = models.JSONField(null=True, help_text="Of an on-site message, as it is shown.")
    shown_at = models.DateTimeField(null=True, help_text="When a page first fetched an on-site message.")
    dismissed_at = models.DateTimeField(null=True, help_text="When the visitor closed it for good.")
    clicked_at = models.DateTimeField(null=True, help_text="When a link was first followed.")
    clicks = models.PositiveIntegerField(default=0)

    class Meta:
        """Due ones are found by time, a customer's by what was sent to them lately."""

        verbose_name_plural = "deliveries"
        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "step", "customer", "occasion"),
                name="delivered_once",
                violation_error_message="This message is planned already.",
            ),
        )
        indexes = (
            models.Index(
                fields=("not_before", "campaign", "id"),
                name="due_deliveries",
                condition=Q(state__in=("planned", "sending")),
            ),
            models.Index(fields=("customer", "sent_at"), name="sent_to_customer"),
            models.Index(fields=("campaign", "state", "id"), name="deliveries_of_campaign"),
        )

    def __str__(self) -> str:
        return f"Step {self.step_id} to {self.customer_id}"


class ChannelHealth(models.Model):
    """How the latest messages of a channel were taken. Written by ``campaigns.sending_health``."""

    channel = models.CharField(max_length=20, unique=True)
    recent = models.CharField(
        max_length=50,
        blank=True,
        default="",
        help_text="The latest messages: `.` for taken, `x` for refused.",
    )
    paused_at = models.DateTimeField(null=True, help_text="Since when nothing is sent; none while it is.")
    answer = models.CharField(
        max_length=300, blank=True, default="", help_text="The latest that was refused."
    )

    class Meta:
        """One a channel."""

        verbose_name_plural = "health of channels"

    def __str__(self) -> str:
        return f"{self.channel}: {'paused' if self.paused_at else 'sending'}"


class Coupon(models.Model):
    """One code, given to at most one customer of one campaign from one occasion. Written by ``campaigns.coupons``."""

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="coupons", db_constraint=False)
    code = models.CharField(max_length=100)
    code_folded = models.CharField(
        max_length=200, unique=True, help_text="As it is compared with those of orders."
    )
    customer = models.ForeignKey(Customer, null=True, on_delete=models.SET_NULL, related_name="coupons")
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.SET_NULL, related_name="coupons", db_constraint=False
    )
    occasion = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="What began the journey that it was given on.",
    )
    given_at = models.DateTimeField(null=True, help_text="Nobody else gets it after that, also once erased.")
    is_unconfirmed = models.BooleanField(
        default=False,
        db_default=False,
        help_text="It was given to a visitor of whom nobody but browsers had told.",
    )
    redeemed_at = models.DateTimeField(null=True)

    class Meta:
        """One a customer, campaign and occasion."""

        constraints = (
            models.UniqueConstraint(
                fields=("campaign", "customer", "occasion"),
                name="coupon_once",
                violation_error_message="This customer has a code of this campaign from there already.",
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


class SoldProduct(models.Model):
    """A product as the orders of the last year tell it. Written by ``campaigns.products``."""

    sku = models.CharField(max_length=255)
    sku_folded = models.CharField(max_length=800, unique=True)
    name = models.CharField(max_length=1000, blank=True, default="")
    category = models.CharField(max_length=255, blank=True, default="")
    brand = models.CharField(max_length=255, blank=True, default="")
    category_folded = models.CharField(max_length=800, blank=True, default="")
    brand_folded = models.CharField(max_length=800, blank=True, default="")
    price = ExactDecimalField(default=0)
    url = models.CharField(
        max_length=1000, blank=True, default="", help_text="Its page in the shop, as events last told."
    )
    image = models.CharField(max_length=1000, blank=True, default="")
    orders = models.PositiveBigIntegerField(help_text="In how many counting orders it was.")
    first_at = models.DateTimeField(
        null=True, help_text="When it was first ordered, or the shop's server first told of it."
    )
    learned_at = models.DateTimeField()

    class Meta:
        """Found by what it is like, the most bought first."""

        indexes = (
            models.Index(fields=("category_folded", "-orders"), name="sold_of_category"),
            models.Index(fields=("brand_folded", "-orders"), name="sold_of_brand"),
            models.Index(fields=("-orders", "sku_folded"), name="sold_most"),
        )

    def __str__(self) -> str:
        return self.name or self.sku


class BoughtTogether(models.Model):
    """That two products are bought together more often than by chance. Written by ``campaigns.products``."""

    product = models.ForeignKey(
        SoldProduct, on_delete=models.CASCADE, related_name="bought_with", db_constraint=False, db_index=False
    )
    other = models.ForeignKey(
        SoldProduct, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    orders = models.PositiveBigIntegerField(help_text="How many orders contain both.")
    lift = ExactDecimalField(help_text="How many times as many as there would be by chance.")

    class Meta:
        """One row for each way round."""

        constraints = (
            models.UniqueConstraint(
                fields=("product", "other"),
                name="pair_once",
                violation_error_message="This pair is known already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.product_id} with {self.other_id}"


class AudienceExport(models.Model):
    """That an audience was exported, and up to which change. Written by ``campaigns.audiences``."""

    class Platform(models.TextChoices):
        """For whose ads."""

        META = "meta", "Meta"
        GOOGLE = "google", "Google"

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="audience_exports", db_constraint=False
    )
    platform = models.CharField(max_length=6, choices=Platform)
    exported_at = models.DateTimeField()
    exported_by_name = models.CharField(max_length=150, blank=True, default="")
    since = models.PositiveBigIntegerField(
        null=True, help_text="The change it begins behind; none for a full one."
    )
    until = models.PositiveBigIntegerField(help_text="The last change it contains.")
    rows = models.PositiveBigIntegerField()

    class Meta:
        """Latest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.platform} audience of {self.segment_id} at {self.exported_at}"


class AudienceMember(models.Model):
    """One customer in the audience of a segment, as its platform was told last. Written by ``campaigns.audiences``.

    It stays when they leave it: who withdraws their consent has to be named to the platform once more, and nobody else.
    """

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    platform = models.CharField(max_length=6, choices=AudienceExport.Platform)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="audiences")
    is_in = models.BooleanField(help_text="Whether they are to be shown ads.")
    told_until = models.PositiveBigIntegerField(
        help_text="The last change in the file that was the first to say so."
    )

    class Meta:
        """Read by customer."""

        constraints = (
            models.UniqueConstraint(
                fields=("segment", "platform", "customer"),
                name="in_an_audience_once",
                violation_error_message="This customer is in this audience already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.customer_id} in the {self.platform} audience of {self.segment_id}"
