"""The admin's first page: how large the segments are, how fresh, and what to do first. Nothing is counted."""

from typing import Any

from django.http import HttpRequest

from customers.models import Customer
from segments.models import Refresh, Segment, Verification

from . import wording
from .access import ADD, SEE, SEE_CUSTOMERS

HIGHLIGHTS = ("anonymous", "newsletter-subscribers", "lead", "repeat")


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the first page shows to those who may see segments."""
    if not request.user.has_perm(SEE):
        return context
    segments = list(Segment.objects.all())
    by_slug = {segment.slug: segment for segment in segments}
    return context | {
        "shows_segments": True,
        "rows": [(segment, wording.status(segment), wording.label_of(segment)) for segment in segments],
        "highlights": [by_slug[slug] for slug in HIGHLIGHTS if slug in by_slug],
        "failing": [segment for segment in segments if segment.status == "failing"],
        "latest": Refresh.objects.first(),
        "verified": Verification.objects.exclude(finished_at=None).first(),
        "has_customers": Customer.objects.exists(),
        "may_add": request.user.has_perm(ADD),
        "may_see_members": request.user.has_perm(SEE_CUSTOMERS),
    }
