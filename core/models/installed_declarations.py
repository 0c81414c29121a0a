"""Which declarations were installed, so that nothing that staff changed is installed again."""

from django.contrib.auth.models import Group
from django.db import models


class InstalledRole(models.Model):
    """A declared role whose group was created."""

    name = models.CharField(max_length=150, unique=True, help_text="As declared. Staff can rename the group.")
    group = models.ForeignKey(
        Group,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Empty if staff deleted the group, or if a group of this name existed before.",
    )
    permissions = models.JSONField(
        default=list,
        help_text="The permissions that were granted, as app.codename. Each is granted only once.",
    )

    class Meta:
        """No permissions: it has no page in the admin."""

        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class InstalledSchedule(models.Model):
    """A declared schedule that was created."""

    name = models.CharField(
        max_length=200, unique=True, help_text="As declared. Staff can rename the schedule."
    )

    class Meta:
        """No permissions: it has no page in the admin."""

        default_permissions = ()

    def __str__(self) -> str:
        return self.name
