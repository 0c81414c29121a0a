"""Segments and the versions of their rules.

``segments.segment_store`` writes the names and rules of ``Segment``. ``segments.refresh`` writes its size and state.
"""

from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Case, F, Q, Value, When

SLUG_LENGTH = 100
SLUG_IS_TAKEN = "A segment with this slug already exists. Choose another slug."
NOT_AN_API_PATH = RegexValidator(
    r"^(membership|preview)\Z", "The API uses this word in its URLs. Choose another slug.", inverse_match=True
)


class SegmentQuerySet(models.QuerySet["Segment"]):
    def active(self) -> Self:
        """Return the segments that the schedule refreshes."""
        return self.filter(is_active=True, kind=Segment.Kind.DYNAMIC)

    def in_status(self, status: str) -> Self:
        """Return the segments with this ``status``."""
        status_expression = Case(
            When(~Q(kind=Segment.Kind.DYNAMIC), then=Value(Segment.Status.STATIC)),
            When(is_active=False, then=Value(Segment.Status.PAUSED)),
            When(~Q(last_error=""), then=Value(Segment.Status.FAILING)),
            When(refreshed_at=None, then=Value(Segment.Status.NEW)),
            When(refreshed_version=F("version"), then=Value(Segment.Status.FRESH)),
            default=Value(Segment.Status.EDITED),
            output_field=models.CharField(),
        )
        return self.alias(current_status=status_expression).filter(current_status=status)


class Segment(models.Model):
    """A named rule with its members, or a fixed list of customers."""

    class Kind(models.TextChoices):
        DYNAMIC = "dynamic", "by rule"
        STATIC = "static", "fixed list"

    class Status(models.TextChoices):
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
            NOT_AN_API_PATH,
        ],
        error_messages={"unique": SLUG_IS_TAKEN},
        help_text="The name in rules, the API and commands.",
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
        help_text="Pages of the shop can see whether their visitor is in this segment. So can the visitor.",
    )
    version = models.PositiveIntegerField(
        default=1, editable=False, help_text="Goes up by one with each edit of the rule."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    size = models.PositiveBigIntegerField(default=0, editable=False)
    known_size = models.PositiveBigIntegerField(default=0, editable=False)
    refreshed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="The instant of the last refresh."
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
        help_text="The last refresh.",
    )
    is_incremental = models.BooleanField(
        default=False,
        editable=False,
        help_text="Only candidates need to be evaluated. If not set, the next refresh evaluates all customers.",
    )
    asked_digest = models.CharField(
        max_length=32,
        blank=True,
        default="",
        editable=False,
        help_text="A digest of the rules of other segments that the last refresh asked ahead.",
    )
    log_starts_at = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="The change log is complete after this id. Earlier changes may be deleted or anonymized.",
    )
    last_error = models.TextField(blank=True, default="", editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="Failed refreshes in a row.")
    retry_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When a failing segment is refreshed again."
    )

    objects = SegmentQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    @property
    def is_dynamic(self) -> bool:
        return self.kind == self.Kind.DYNAMIC

    @property
    def status(self) -> str:
        """Return the status; ``SegmentQuerySet.in_status`` computes the same in SQL."""
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
    """The present or a former rule of a segment. Only ``segments.segment_store`` writes it."""

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
        help_text="Empty if a command saved it.",
    )
    saved_by_name = models.CharField(
        max_length=150, blank=True, default="", help_text="The name of the user at that time."
    )

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=("segment", "number"),
                name="unique_version_number",
                violation_error_message="Somebody else has saved another version meanwhile.",
            ),
        )

    def __str__(self) -> str:
        return f"Version {self.number} of {self.segment_id}"
