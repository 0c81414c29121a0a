"""Refreshes, their results, and verifications."""

from django.db import models

from .segment import Segment


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
    statistics = models.JSONField(
        default=dict, blank=True, help_text="Figures of the population at that instant, by name."
    )
    statistics_from = models.DateTimeField(
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
    """One comparison of all stored members with the records. Written by ``segments.refresh.verification`` alone."""

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
