"""API keys. Written only by ``core.api.keys``."""

from datetime import datetime

from django.db import models


class ApiKey(models.Model):
    """An API key. Only a hash of the secret is stored."""

    name = models.CharField(max_length=100, help_text="The program or web shop that uses the key.")
    prefix = models.CharField(max_length=12, editable=False, help_text="The first characters of the key.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(
        "expires",
        null=True,
        blank=True,
        help_text="The key stops working at this time. Leave it empty for no expiry.",
    )
    networks = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def has_expired(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at
