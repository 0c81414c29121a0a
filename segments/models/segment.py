"""Segments, their members, the changes of these, and the refreshes.

``Segment`` is written by ``segments.definition`` (what it asks) and ``segments.membership`` (what came of it);
members, changes and tallies by ``segments.membership`` alone.
"""

from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Case, F, Q, Value, When

from customers.models import Customer

SLUG_LENGTH = 100
SLUG_IS_TAKEN = "A segment of this slug already exists; choose another."
UNLIKE_AN_ADDRESS = RegexValidator(
    r"^(membership|preview)\Z", "The API has an address of this name; choose another.", inverse_match=True
)


class SegmentQuerySet(models.QuerySet["Segment"]):
    """Segments, by how they are kept."""

    def active(self) -> Self:
        """Keep those that beat refreshes."""
        return self.filter(is_active=True, kind=Segment.Kind.DYNAMIC)

    def in_status(self, status: str) -> Self:
        """Keep those whose ``status`` is this."""
        said = Case(
            When(~Q(kind=Segment.Kind.DYNAMIC), then=Value(Segment.Status.STATIC)),
            When(is_active=False, then=Value(Segment.Status.PAUSED)),
            When(~Q(last_error=""), then=Value(Segment.Status.FAILING)),
            When(refreshed_at=None, then=Value(Segment.Status.NEW)),
            When(refreshed_version=F("version"), then=Value(Segment.Status.FRESH)),
            default=Value(Segment.Status.EDITED),
            output_field=models.CharField(),
        )
        return self.alias(said=said).filter(said=status)


class Segment(models.Model):
    """A named rule with its members, or a fixed list of customers."""

    class Kind(models.TextChoices):
        """Where the members come from."""

        DYNAMIC = "dynamic", "by rule"
        STATIC = "static", "fixed list"

    class Status(models.TextChoices):
        """How a segment stands."""

        FRESH = "fresh", "up to date"
        EDITED = "edited", "edited since its last refresh"
        NEW = "new", "never refreshed"
        FAILING = "failing", "the last refresh failed"
        PAUSED = "paused", "not refreshed by the schedule"
        STATIC = "static", "a fixed list"

    slug = models.CharField(
        max_length=SLUG_LENGTH,
        unique=True,
        validators=[
            RegexValidator(r"^[-a-zA-Z0-9_]+\Z", "Use letters, digits, - and _ only."),
            UNLIKE_AN_ADDRESS,
        ],
        error_messages={"unique": SLUG_IS_TAKEN},
        help_text="The name by which rules, the API and commands refer to it.",
    )
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.DYNAMIC, editable=False)
    rule = models.JSONField(null=True, blank=True)
    template = models.CharField(max_length=SLUG_LENGTH, blank=True, default="", editable=False)
    template_parameters = models.JSONField(default=dict, blank=True, editable=False)
    is_active = models.BooleanField("active", default=True, help_text="Refreshed by the schedule.")
    is_public = models.BooleanField(
        "public",
        default=False,
        help_text="The shop's pages may ask whether their visitor is in it, and so may the visitor.",
    )
    version = models.PositiveIntegerField(
        default=1, editable=False, help_text="Counts the edits of the rule."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    size = models.PositiveBigIntegerField(default=0, editable=False)
    known_size = models.PositiveBigIntegerField(default=0, editable=False)
    refreshed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="The instant the members stand for."
    )
    refreshed_version = models.PositiveIntegerField(default=0, editable=False)
    refresh = models.ForeignKey(
        "Refresh",
        null=True,
        blank=True,
        editable=False,
        db_constraint=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The refresh the members come from.",
    )
    is_caught_up = models.BooleanField(
        default=False,
        editable=False,
        help_text="The members lack nothing but what waits in the queue; otherwise everybody is looked at.",
    )
    followed_from = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="Whoever has read the changes up to this id can go on; before it some are gone or name nobody.",
    )
    last_error = models.TextField(blank=True, default="", editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="In a row.")
    retry_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When a failing segment is tried again."
    )

    objects = SegmentQuerySet.as_manager()

    class Meta:
        """Listed by name."""

        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    @property
    def is_dynamic(self) -> bool:
        """Tell whether a rule decides who is in."""
        return self.kind == self.Kind.DYNAMIC

    @property
    def status(self) -> str:
        """Say in one word how the segment stands, as ``in_status`` asks."""
        if not self.is_dynamic:
            return self.Status.STATIC.value
        if not self.is_active:
            return self.Status.PAUSED.value
        if self.last_error:
            return self.Status.FAILING.value
        if self.refreshed_at is None:
            return self.Status.NEW.value
        return (self.Status.FRESH if self.refreshed_version == self.version else self.Status.EDITED).value


class Version(models.Model):
    """A rule that a segment asks, or has asked. Written by ``segments.definition`` alone."""

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="versions", db_constraint=False, db_index=False
    )
    number = models.PositiveIntegerField()
    rule = models.JSONField()
    saved_at = models.DateTimeField()
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        help_text="Nobody where a command has saved it.",
    )
    saved_by_name = models.CharField(
        max_length=150, blank=True, default="", help_text="As the person was called then."
    )

    class Meta:
        """Latest first."""

        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=("segment", "number"),
                name="version_once",
                violation_error_message="Somebody else has saved a version meanwhile.",
            ),
        )

    def __str__(self) -> str:
        return f"Version {self.number} of {self.segment_id}"


class Membership(models.Model):
    """One customer in one segment. Its key is the pair, so that it can be distributed by customer."""

    pk = models.CompositePrimaryKey("customer_id", "segment_id")
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="memberships", db_index=False
    )
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="memberships", db_constraint=False, db_index=False
    )
    entered_at = models.DateTimeField()
    is_known = models.BooleanField(default=False, help_text="Whether the shop could reach the customer then.")

    class Meta:
        """A segment's members are paged by customer, and found by when they entered."""

        indexes = (
            models.Index(fields=("segment", "customer"), name="members_of_segment"),
            models.Index(fields=("segment", "entered_at", "customer"), name="newest_members"),
        )

    def __str__(self) -> str:
        return f"{self.customer_id} in {self.segment_id}"


class Refresh(models.Model):
    """One run that brought members in line with rules, at one instant.

    A running one is a lease: it holds as long as its heartbeat is fresh, and only one runs at a time. A queued one
    was asked for and waits for a worker; until it begins, its instants are those of the asking.
    """

    class State(models.TextChoices):
        """How the run ended."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed", "failed in part or whole"

    segment = models.ForeignKey(
        Segment,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text="The one it was asked for; none where it was all of them.",
    )
    at = models.DateTimeField(help_text="The instant the members stand for.")
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    touched = models.PositiveBigIntegerField(
        default=0, help_text="Customers about whom something had been recorded."
    )
    looked_at = models.PositiveBigIntegerField(
        default=0, help_text="Customers whose answers were asked for; the others' could not differ."
    )
    figures = models.JSONField(
        default=dict, blank=True, help_text="Figures of the population at that instant, by name."
    )
    figures_from = models.DateTimeField(
        null=True, blank=True, help_text="The instant of the oldest of these figures."
    )
    buyers_version = models.BigIntegerField(default=0, help_text="Of the buyers' orders behind the figures.")
    time_zone = models.CharField(max_length=100, blank=True, default="")
    error = models.TextField(blank=True, default="")

    class Meta:
        """Latest first."""

        ordering = ("-id",)
        verbose_name_plural = "refreshes"
        constraints = (
            models.UniqueConstraint(
                fields=("state",),
                condition=models.Q(state="running"),
                name="one_refresh_at_a_time",
                violation_error_message="Another refresh is running.",
            ),
            models.UniqueConstraint(
                fields=("segment",),
                condition=models.Q(state="queued"),
                name="queued_once",
                violation_error_message="A refresh of this segment waits already.",
            ),
        )

    def __str__(self) -> str:
        return f"Refresh {self.pk}"


class RefreshResult(models.Model):
    """What a refresh did to one segment."""

    refresh = models.ForeignKey(Refresh, on_delete=models.CASCADE, related_name="results")
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="results", db_constraint=False
    )
    version = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField(default=0)
    known_size = models.PositiveBigIntegerField(default=0)
    entered = models.PositiveBigIntegerField(default=0)
    left = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return f"{self.segment_id} in refresh {self.refresh_id}"


class Verification(models.Model):
    """One comparison of all stored members with the records. Written by ``segments.verification`` alone."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    segments = models.PositiveIntegerField(default=0, help_text="Segments compared.")
    members = models.PositiveBigIntegerField(default=0, help_text="Members compared.")
    waiting = models.PositiveBigIntegerField(
        default=0, help_text="Customers left out, since the next refresh looks at them."
    )
    differing = models.PositiveIntegerField(default=0, help_text="Segments that are not exactly right.")
    details = models.JSONField(
        default=list, blank=True, help_text="Of segments that differ, or were not compared."
    )
    error = models.TextField(blank=True, default="")

    class Meta:
        """Latest first."""

        ordering = ("-id",)

    def __str__(self) -> str:
        return f"Verification {self.pk}"

    @property
    def state(self) -> str:
        """Say in one word how it ended: running, failed, different, right, or nobody where nobody was compared."""
        if self.error:
            return "failed"
        if self.finished_at is None:
            return "running"
        if not self.segments:
            return "nobody"
        return "different" if self.differing else "right"


class Change(models.Model):
    """One customer entered or left one segment."""

    class Kind(models.TextChoices):
        """Which way."""

        ENTERED = "entered"
        LEFT = "left"

    class Cause(models.TextChoices):
        """What made the difference."""

        ACTIVITY = "activity", "something was recorded about the customer"
        TIME = "time", "time went by"
        DEFINITION = "definition", "the segment was edited"
        POPULATION = "population", "a figure of the population moved"
        MERGE = "merge", "two histories were joined"
        ERASURE = "erasure", "the customer was erased"
        INITIAL = "initial", "the segment was filled for the first time"

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="changes", db_constraint=False, db_index=False
    )
    customer = models.ForeignKey(
        Customer,
        null=True,
        on_delete=models.SET_NULL,
        related_name="changes",
        help_text="Nobody once the customer is erased.",
    )
    printed_id = models.CharField(
        max_length=255,
        blank=True,
        help_text="The customer's id as printed then; empty for those who were erased, but for their last leaving.",
    )
    change = models.CharField(max_length=7, choices=Kind)
    at = models.DateTimeField()
    cause = models.CharField(max_length=10, choices=Cause)
    refresh = models.ForeignKey(
        Refresh, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False, db_index=False
    )

    class Meta:
        """A segment's changes are followed by id."""

        indexes = (
            models.Index(fields=("segment", "id"), name="changes_of_segment"),
            models.Index(
                fields=("at",), name="named_erasures", condition=Q(customer=None) & ~Q(printed_id="")
            ),
        )

    def __str__(self) -> str:
        return f"{self.printed_id} {self.change} {self.segment_id}"


class Tally(models.Model):
    """How many customers entered or left one segment on one day, for one cause: the changes, added up.

    A chart of a quarter reads a few hundred of these, where the changes may be millions.
    """

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="tallies", db_constraint=False, db_index=False
    )
    day = models.DateField(help_text="In the shop's time zone.")
    change = models.CharField(max_length=7, choices=Change.Kind)
    cause = models.CharField(max_length=10, choices=Change.Cause)
    customers = models.PositiveBigIntegerField()

    class Meta:
        """One row for each of what it counts."""

        verbose_name_plural = "tallies"
        constraints = (
            models.UniqueConstraint(
                fields=("segment", "day", "change", "cause"),
                name="tallied_once",
                violation_error_message="This is tallied already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.customers} {self.change} {self.segment_id} on {self.day}"
