"""Answers that are given again. Written by ``core.api.idempotent_responses`` alone."""

from django.db import models


class IdempotentResponse(models.Model):
    """What a request under an idempotency key was answered; without a status while it is still being done."""

    name = models.CharField(
        max_length=64, primary_key=True, help_text="A digest of who sent it, to where, under which key."
    )
    request = models.CharField(max_length=64, help_text="A digest of what was sent.")
    began_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True, default="", help_text="JSON; empty for no body.")

    def __str__(self) -> str:
        return self.name
