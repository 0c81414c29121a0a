"""The data that segments hold about a customer, for export and erasure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from customers.models import Customer
from customers.privacy.personal_data import Section
from segments.models import Change, Membership, Message, Segment
from segments.refresh import verification
from segments.refresh.deletion import erase_members
from segments.refresh.write import lock_members
from segments.webhooks import outbox


def _export(customer: Customer) -> dict[str, Any]:
    members = Membership.objects.filter(customer=customer).order_by("entered_at", "segment_id")
    entered = dict(members.values_list("segment_id", "entered_at"))
    segments = Segment.objects.in_bulk(entered)
    changes = Change.objects.filter(customer=customer).order_by("pk")
    messages = Message.objects.filter(customer=customer).order_by("pk")
    return {
        "memberships": [
            {"segment": segments[key].slug, "name": segments[key].name, "entered_at": entered_at.isoformat()}
            for key, entered_at in entered.items()
            if key in segments
        ],
        "changes": [
            {"segment": slug, "change": change, "at": at.isoformat(), "cause": cause}
            for slug, change, at, cause in changes.values_list("segment__slug", "change", "at", "cause")
        ],
        "webhooks": [
            {"to": name, "what": kind, "segment": slug, "state": state, "at": written_at.isoformat()}
            for name, kind, slug, state, written_at in messages.values_list(
                "endpoint__name", "kind", "segment__slug", "state", "written_at"
            )
        ],
    }


def _erase(customers: Sequence[int], at: datetime) -> None:
    verification.delete_examples(customers)
    erase_members(customers, at)
    outbox.erase_customers(customers)


def _lock() -> None:
    lock_members()
    outbox.lock_outbox()


SECTION = Section(export=_export, erase=_erase, lock=_lock)
