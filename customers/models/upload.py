"""Files that staff upload, and what their columns mean. Written by ``customers.imports.uploads``."""

from django.db import models
from django.db.models import Q


class Import(models.Model):
    """A file that a member of staff imports.

    A running import is a lease: it holds as long as its heartbeat is recent, and only one runs at a time.
    """

    class State(models.TextChoices):
        UPLOADED = "uploaded", "not started"
        WAITING = "waiting", "waits for its turn"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    name = models.CharField(max_length=255, help_text="The name of the file.")
    stored = models.CharField(
        max_length=40, blank=True, help_text="The name of the stored file. Empty once it is deleted."
    )
    size = models.PositiveBigIntegerField(help_text="In bytes.")
    kind = models.CharField(max_length=30, blank=True, default="", help_text="Of ``csv_files.FORMATS``.")
    dialect = models.JSONField(
        default=dict, blank=True, help_text="How the file is written. Empty for a file in our own format."
    )
    by = models.CharField(max_length=150, blank=True, default="", help_text="Who uploaded it.")
    state = models.CharField(max_length=9, choices=State, default=State.UPLOADED)
    uploaded_at = models.DateTimeField()
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often a worker started it. Only the latest one may write."
    )
    is_stopping = models.BooleanField(default=False, help_text="It was cancelled and is stopping.")
    bytes_read = models.PositiveBigIntegerField(default=0)
    read = models.PositiveBigIntegerField(default=0, help_text="Rows.")
    created = models.PositiveBigIntegerField(default=0, help_text="Records.")
    updated = models.PositiveBigIntegerField(default=0, help_text="Records.")
    refused = models.PositiveBigIntegerField(default=0, help_text="Rows.")
    records = models.JSONField(
        default=dict,
        blank=True,
        help_text='How many records of each kind were created and updated: ``{"orders": [12, 3]}``.',
    )
    warnings = models.JSONField(default=list, blank=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        """Latest first."""

        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("state",),
                condition=Q(state="running"),
                name="one_import_at_a_time",
                violation_error_message="Another import is running.",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Return whether it waits or runs."""
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def percent(self) -> int:
        """Return how much of the file is read."""
        if self.state == self.State.DONE:
            return 100
        return min(99, 100 * self.bytes_read // self.size) if self.size else 0


class ColumnMapping(models.Model):
    """What the columns of an imported file meant. A file with the same header is read in the same way."""

    header_key = models.CharField(max_length=64, unique=True, help_text="A hash of the names of the columns.")
    kind = models.CharField(max_length=30)
    mapping = models.JSONField(default=dict, help_text="The field of each column.")
    date_orders = models.JSONField(
        default=dict, help_text="Of each column of dates with the day and month in front."
    )
    saved_at = models.DateTimeField()

    def __str__(self) -> str:
        return ", ".join(self.mapping)
