"""Named locks. Written only by ``core.db.locks``."""

from django.db import models


class NamedLock(models.Model):
    """A row that a transaction locks, so that writers of one kind run one after another."""

    name = models.CharField(max_length=50, primary_key=True)

    def __str__(self) -> str:
        return self.name
