"""API keys. Written by ``core.api.keys`` alone."""

from datetime import datetime

from django.db import models


class ApiKey(models.Model):
    """A key of an API client: shown once, stored hashed, limited to its scopes, and in time and place if wanted."""

    name = models.CharField(
        max_length=100, help_text="Whose it is, such as the program or the web shop that uses it."
    )
    prefix = models.CharField(max_length=12, editable=False, help_text="The start of the key, to tell it by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(
        "expires", null=True, blank=True, help_text="From then on it opens nothing; empty for never."
    )
    networks = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Named as people name it."""

        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def has_expired(self, at: datetime) -> bool:
        """Tell whether its time is over."""
        return self.expires_at is not None and self.expires_at <= at
