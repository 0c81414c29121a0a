"""Stored responses. Written only by ``core.api.idempotent_responses``."""

from django.db import models


class IdempotentResponse(models.Model):
    """The response to a request with an idempotency key. Without a status, the request is still running."""

    name = models.CharField(
        max_length=64, primary_key=True, help_text="A digest of the caller, the address and the key."
    )
    request = models.CharField(max_length=64, help_text="A digest of the request.")
    began_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True, default="", help_text="JSON. Empty if the response has no body.")

    def __str__(self) -> str:
        return self.name
