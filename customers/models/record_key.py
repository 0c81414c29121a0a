"""The ids by which senders name orders and events. ``customers.ingestion.record_keys`` writes them."""

from django.db import models


class RecordKey(models.Model):
    """The id by which senders name an order or event, and which record has it.

    Ids are unique across customers, whose records may be on different machines. So the key is written first, and a
    transaction that writes the record holds a lock on the key. The record is found by its time and primary key, which
    stay when it is moved to another customer.
    """

    class Kind(models.IntegerChoices):
        ORDER = 1
        MESSAGE = 2, "message of a server, a file or the API"
        BROWSER_MESSAGE = 3, "message of a browser"

    pk = models.CompositePrimaryKey("kind", "value")
    kind = models.PositiveSmallIntegerField(choices=Kind)
    value = models.CharField(max_length=255)
    record = models.BigIntegerField(help_text="The primary key of the order or event.")
    at = models.DateTimeField(help_text="When the order was placed, or the event occurred.")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"
