"""Adding customers to a fixed list by their ids."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from core.admin import audit_log
from core.admin.permissions import require_permissions
from segments import fixed_lists
from segments.models import Segment
from segments.refresh.write import Outcome

from .access import CHANGE_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from .forms import CustomerIdsForm, ids_text
from .page_context import admin_context
from .texts import count_text


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, VIEW_CUSTOMER)
def add_members_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Add customers to a fixed list by their ids."""
    segment = get_object_or_404(Segment, pk=pk, kind=Segment.Kind.STATIC)
    form = CustomerIdsForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        outcome = fixed_lists.add_customers(segment, form.cleaned_data["keys"], datetime.now(UTC))
        log_list_change(request, segment, outcome)
        messages.success(
            request, f"{outcome.entered:,} added to {segment.name}; it has {outcome.size:,} members now."
        )
        warn_about_unknown_ids(request, form.cleaned_data["unknown"])
        return redirect("admin:segments_segment_members", segment.pk)
    context = admin_context(model_admin, request, f"Add customers to {segment.name}", segment)
    context |= {"form": form, "button": "Add customers", "is_upload": True}
    return TemplateResponse(request, "segments/admin/form.html", context)


def log_list_change(request: HttpRequest, segment: Segment, outcome: Outcome) -> None:
    """Record in the audit log how many customers were added to a list or removed from it."""
    if outcome.entered:
        audit_log.log_changes(
            request, [segment], f"Added {count_text(outcome.entered, 'customer')} to the list."
        )
    if outcome.left:
        audit_log.log_changes(
            request, [segment], f"Removed {count_text(outcome.left, 'customer')} from the list."
        )


def warn_about_unknown_ids(request: HttpRequest, unknown: list[str]) -> None:
    if unknown:
        messages.warning(request, f"There is no customer with {ids_text(unknown)}.")
