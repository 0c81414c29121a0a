"""Refreshes, their results, and verifications.

``segments.refresh`` writes them, and ``segments.changes.retention`` deletes old ones.
"""

from django.db import models

from .segment import Segment


class Refresh(models.Model):
    """One refresh of the members of one or all segments, at one instant.

    A running refresh is a lease: only one runs at a time, and it ends when its heartbeat is too old. A queued refresh
    was requested and waits for a worker. Until it starts, its instants are those of the request.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed", "failed for some or all segments"

    segment = models.ForeignKey(
        Segment,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text="The segment that was refreshed; empty for all segments.",
    )
    at = models.DateTimeField(help_text="The instant at which the rules were evaluated.")
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    touched = models.PositiveBigIntegerField(
        default=0, help_text="Customers about whom something was recorded."
    )
    evaluated = models.PositiveBigIntegerField(
        default=0, help_text="Customers who were evaluated. The others could not have changed."
    )
    statistics = models.JSONField(
        default=dict, blank=True, help_text="The population statistics at that instant, by name."
    )
    statistics_from = models.DateTimeField(
        null=True, blank=True, help_text="The instant of the oldest of these statistics."
    )
    buyers_version = models.BigIntegerField(
        default=0, help_text="The version of the buyers' orders that the statistics were computed from."
    )
    time_zone = models.CharField(max_length=100, blank=True, default="")
    error = models.TextField(blank=True, default="")

    class Meta:
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
                name="one_queued_refresh_a_segment",
                violation_error_message="A refresh of this segment is queued already.",
            ),
        )

    def __str__(self) -> str:
        return f"Refresh {self.pk}"


class RefreshResult(models.Model):
    """What a refresh changed in one segment."""

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
    """One comparison of all stored members with the records. Only ``segments.refresh.verification`` writes it."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    segments = models.PositiveIntegerField(default=0, help_text="Segments compared.")
    members = models.PositiveBigIntegerField(default=0, help_text="Members compared.")
    waiting = models.PositiveBigIntegerField(
        default=0, help_text="Customers left out, since the next refresh evaluates them."
    )
    differing = models.PositiveIntegerField(default=0, help_text="Segments whose members differ.")
    details = models.JSONField(
        default=list, blank=True, help_text="The segments that differ or were not compared."
    )
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"Verification {self.pk}"

    @property
    def state(self) -> str:
        """Return running, failed, different, right, or nobody if no customer was compared."""
        if self.error:
            return "failed"
        if self.finished_at is None:
            return "running"
        if not self.segments:
            return "nobody"
        return "different" if self.differing else "right"
