"""The data of campaigns about one customer, for export and erasure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from customers.models import Customer
from customers.privacy.mentions import Mentions
from customers.privacy.personal_data import Section

from .channels.registry import CHANNELS
from .delivery import channel_health
from .journeys import progress
from .models.audience import AudienceMember
from .models.coupon import Coupon
from .models.delivery import Delivery
from .models.journey import Journey


def _export(customer: Customer) -> dict[str, Any]:
    journeys = Journey.objects.filter(customer=customer).order_by("began_at", "pk")
    messages = Delivery.objects.filter(customer=customer).order_by("planned_for", "pk")
    coupons = Coupon.objects.filter(customer=customer).order_by("given_at", "pk")
    audiences = AudienceMember.objects.filter(customer=customer).order_by("pk")
    return {
        "journeys": _rows(journeys, "began_at", "state", "ended_at", "reason", campaign="campaign__name"),
        "messages": _rows(
            messages, "state", "planned_for", "sent_at", "reason", "content", "shown_at", "dismissed_at",
            "clicked_at", "clicks",
            campaign="campaign__name", step="step__number", channel="step__channel",
        ),
        "coupons": _rows(coupons, "code", "given_at", "redeemed_at", campaign="campaign__name"),
        "audiences": _rows(audiences, "platform", "is_included", segment="segment__slug"),
        **_channel_data(Mentions.collect([customer.pk])),
    }  # fmt: skip


def _channel_data(mentions: Mentions) -> dict[str, Any]:
    return {
        section: data
        for channel in CHANNELS.values()
        for section, data in channel.export_personal_data(mentions).items()
    }


def _rows(rows: QuerySet[Any], *columns: str, **paths: str) -> list[dict[str, Any]]:
    """Return the named columns, and others by the paths to them."""
    paths = {column: column for column in columns} | paths
    return [dict(zip(paths, map(_json_value, row), strict=True)) for row in rows.values_list(*paths.values())]


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _erase(customers: Sequence[int], at: datetime) -> None:
    """Delete what channels store outside the database, and errors of mail servers that name the customers.

    All other rows are deleted with the customers. A coupon code stays, assigned to nobody.
    """
    mentions = Mentions.collect(customers)
    for channel in CHANNELS.values():
        channel.erase_personal_data(mentions)
    channel_health.erase_errors(mentions)


# The lock keeps others from planning journeys and messages for a customer who is being erased.
SECTION = Section(export=_export, erase=_erase, lock=progress.acquire_lock)
