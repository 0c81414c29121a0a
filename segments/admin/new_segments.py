"""Create a fixed list: from customer ids, or from the members of another segment."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from core.admin import audit_log
from core.admin.permissions import require_permissions
from segments import segment_store
from segments.models import SLUG_LENGTH, Segment

from .access import ADD_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from .forms import NameForm, NewFixedListForm
from .members import warn_about_unknown_ids
from .page_context import admin_context
from .texts import count_text


@require_permissions(VIEW_SEGMENT, ADD_SEGMENT, VIEW_CUSTOMER)
def fixed_list_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Create a fixed list from customer ids."""
    form = NewFixedListForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            segment = segment_store.create_fixed_list(
                given["slug"],
                given["name"],
                given["keys"],
                datetime.now(UTC),
                description=given["description"],
            )
        except ValidationError as error:
            form.add_writer_errors(error)
        else:
            audit_log.log_additions(
                request, [segment], f"A fixed list of {count_text(segment.size, 'customer')}."
            )
            messages.success(request, f"{segment.name} was created with {segment.size:,} members.")
            warn_about_unknown_ids(request, given["unknown"])
            return redirect("admin:segments_segment_members", segment.pk)
    context = admin_context(model_admin, request, "New fixed list")
    context |= {"form": form, "button": "Create the list", "is_upload": True}
    return TemplateResponse(request, "segments/admin/form.html", context)


@require_permissions(VIEW_SEGMENT, ADD_SEGMENT)
def freeze_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Create a fixed list of a segment's current members."""
    segment = get_object_or_404(Segment, pk=pk)
    today = timezone.localdate()
    form = NameForm(
        request.POST or None,
        initial={
            "name": f"{segment.name[:180]}, {today.day} {today:%b %Y}",
            "slug": f"{segment.slug[: SLUG_LENGTH - 11]}-{today.isoformat()}",
        },
    )
    if request.method == "POST" and form.is_valid():
        try:
            frozen = segment_store.create_fixed_list_of_members(
                segment, form.cleaned_data["slug"], form.cleaned_data["name"], datetime.now(UTC)
            )
        except ValidationError as error:
            form.add_writer_errors(error)
        else:
            audit_log.log_additions(
                request, [frozen], f"Frozen from {segment.name}: {count_text(frozen.size, 'member')}."
            )
            messages.success(request, f"{frozen.name} was created with {frozen.size:,} members.")
            return redirect("admin:segments_segment_change", frozen.pk)
    context = admin_context(model_admin, request, f"Freeze {segment.name}", segment)
    context |= {
        "form": form,
        "button": "Freeze as a fixed list",
        "introduction": f"The list keeps the {segment.size:,} current members, even if the segment changes later.",
    }
    return TemplateResponse(request, "segments/admin/form.html", context)
