"""Turns of writers. Written by ``core.db.locks`` alone."""

from django.db import models


class NamedLock(models.Model):
    """A row to lock, so that writers of one kind follow one another."""

    name = models.CharField(max_length=50, primary_key=True)

    def __str__(self) -> str:
        return self.name
