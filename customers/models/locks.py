"""Tables that transactions lock, so that drains of the inbox run side by side and other writers exclude them.

``IdentityLock``, ``DraftLock`` and ``UnsignedLinkLock`` have no rows: nothing but their lock is used, which no other
statement and no vacuum takes. ``customers.identity.drain_locks`` writes ``DrainKey``.
"""

from django.db import models


class IdentityLock(models.Model):
    """Locked by whoever resolves identities: shared by drains, or by one other writer alone."""

    def __str__(self) -> str:
        return "the lock of identities"


class DraftLock(models.Model):
    """Locked by whoever writes orders: drains with orders share it, and so do files and the API."""

    def __str__(self) -> str:
        return "the lock of drafts"


class UnsignedLinkLock(models.Model):
    """Locked by whoever names customer ids: browsers without a signature share it, and so do files and the API."""

    def __str__(self) -> str:
        return "the lock of unsigned links"


class DrainKey(models.Model):
    """The hash of an address or order that a drain writes. The row is inserted and deleted in one transaction.

    Another transaction that inserts the same key waits, so nobody ever reads a row.
    """

    key = models.BigIntegerField(primary_key=True)

    def __str__(self) -> str:
        return f"key {self.key}"
