"""In which time zone the dates of attributes are read."""

from django.db import models


class AttributeDates(models.Model):
    """One row: the time zone in which dates of attributes are read, and up to which customer."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    time_zone = models.CharField(max_length=100)
    read_until = models.BigIntegerField(default=0)
    is_complete = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"dates of attributes in {self.time_zone}"
