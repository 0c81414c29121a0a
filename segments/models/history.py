"""Histories that were computed from today's records. Only ``segments.history.runs`` writes them."""

from django.db import models
from django.db.models import Q

from .segment import Segment


class HistoryRun(models.Model):
    """One computation of histories by a worker, for a range of days.

    A running one is a lease: it holds as long as its heartbeat is recent, and only one runs at a time. Days are stored
    in their order, up to ``reached_day``.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waits for its turn"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="history_runs", db_constraint=False
    )
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    is_trial = models.BooleanField(
        default=False, help_text="Of other numbers in the rule, not of the rule itself."
    )
    first_day = models.DateField()
    last_day = models.DateField()
    time_zone = models.CharField(max_length=64, help_text="The zone whose days they are.")
    reached_day = models.DateField(null=True, help_text="The last day that is stored.")
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often a worker started it. Only the latest one may write."
    )
    attempts_at_day = models.PositiveIntegerField(
        default=0, help_text="``attempts`` when the last day was stored."
    )
    is_stopping = models.BooleanField(default=False, help_text="It was cancelled and is stopping.")
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("state",),
                condition=Q(state="running"),
                name="one_history_at_a_time",
                violation_error_message="Another history is being computed.",
            ),
        )

    def __str__(self) -> str:
        return f"History {self.pk}"

    @property
    def is_open(self) -> bool:
        """Return whether it waits or runs."""
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def percent(self) -> int:
        """Return how much is computed."""
        if self.state == self.State.DONE:
            return 100
        if self.reached_day is None:
            return 0
        days = (self.last_day - self.first_day).days + 1
        return min(99, 100 * ((self.reached_day - self.first_day).days + 1) // days)


class HistorySeries(models.Model):
    """The days of one rule: that of the segment, or with a label the same with another number in it."""

    run = models.ForeignKey(
        HistoryRun, on_delete=models.CASCADE, related_name="series", db_constraint=False, db_index=False
    )
    position = models.PositiveSmallIntegerField()
    label = models.CharField(max_length=100, blank=True, default="")
    rule = models.JSONField()
    rule_digest = models.CharField(
        max_length=64, help_text="A digest of the rule and of the rules of other segments that it asks."
    )

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(fields=("run", "position"), name="one_series_a_position"),)

    def __str__(self) -> str:
        return self.label or f"Series {self.pk}"


class HistoryDay(models.Model):
    """One day of a series: its size at the end, and how many entered and left since the end of the day before."""

    series = models.ForeignKey(
        HistorySeries, on_delete=models.CASCADE, related_name="days", db_constraint=False, db_index=False
    )
    day = models.DateField()
    size = models.PositiveBigIntegerField()
    entered = models.PositiveBigIntegerField()
    left = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("day",)
        constraints = (models.UniqueConstraint(fields=("series", "day"), name="one_history_a_day"),)

    def __str__(self) -> str:
        return f"{self.day.isoformat()}: {self.size}"
