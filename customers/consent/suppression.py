"""Suppressed addresses, which get no messages."""

from datetime import datetime

from core.values import email_addresses
from customers.models import Suppression

from .addresses import restore_erased_addresses
from .statements import unsubscribe

Reason = Suppression.Reason


def is_suppressed(address: str) -> bool:
    key = email_addresses.fold_email(address)
    restore_erased_addresses([key])
    return Suppression.objects.filter(address=key).exists()


def suppress(address: str, at: datetime, *, reason: str, source: str, detail: str = "") -> bool:
    """Send nothing more to an address until staff lift the suppression. Return whether it is new.

    A complaint is also an unsubscription.
    """
    key = email_addresses.fold_email(address)
    if not key:
        return False
    restore_erased_addresses([key])
    _, is_new = Suppression.objects.get_or_create(
        address=key, defaults={"at": at, "reason": reason, "source": source[:50], "detail": detail[:300]}
    )
    if reason == Reason.COMPLAINED:
        unsubscribe(key, at, source=source)
    return is_new


def lift_suppression(suppression: Suppression) -> None:
    """Let the address of a suppression get messages again, even if its owner was erased."""
    Suppression.objects.filter(pk=suppression.pk).delete()
