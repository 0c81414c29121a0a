"""Hints that staff have put away. Written by the pages that show them."""

from django.contrib.auth.models import User
from django.db import models


class Dismissal(models.Model):
    """One hint that one person does not want to see again."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    hint = models.CharField(max_length=50, help_text="Its name, such as first-day.")

    class Meta:
        """No permissions: it has no page in the admin."""

        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=("user", "hint"), name="dismissed_once")]

    def __str__(self) -> str:
        return f"{self.hint} by {self.user}"
