"""The page on which staff edit the stages of the lifecycle."""

from contextlib import suppress
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from kombu.exceptions import OperationalError
from unfold.widgets import UnfoldAdminSelectWidget

from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from segments import stages, tasks
from segments.admin.access import ADD_SEGMENT, CHANGE_SEGMENT, VIEW_SEGMENT
from segments.admin.texts import count_text, rule_sentence
from segments.lifecycle import editing
from segments.lifecycle.editing import InvalidStages, StageEntry
from segments.models import Segment

from .page_context import lifecycle_context


class NewStageForm(forms.Form):
    """The segment that becomes a stage, too."""

    segment = forms.ModelChoiceField(
        Segment.objects.filter(lifecycle_stage=None).order_by("name"),
        label="Add a segment as a stage",
        required=False,
        empty_label="Choose one",
        widget=UnfoldAdminSelectWidget(),
    )


@require_permissions(VIEW_SEGMENT)
def stages_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the stages. A POST stores them in their new order, with one more or one less if its button was pressed."""
    form = NewStageForm(request.POST if request.method == "POST" else None)
    if request.method not in READ_METHODS:
        if not request.user.has_perm(CHANGE_SEGMENT):
            raise PermissionDenied
        if form.is_valid() and _store(request, form.cleaned_data["segment"]):
            return redirect("admin:segments_segment_lifecycle")
    stored = stages.stored_stages()
    context = lifecycle_context(model_admin, request, "stages", "Lifecycle") | {
        "is_stored": bool(stored),
        "asked": [_row(stage) for stage in stored or stages.built_in_stages()],
        "shown": stages.in_shown_order(stored),
        "segments": Segment.objects.order_by("name").only("slug", "name") if stored else [],
        "form": form,
        "may_edit": request.user.has_perm(CHANGE_SEGMENT),
        "may_set_up": request.user.has_perm(ADD_SEGMENT),
    }
    return TemplateResponse(request, "segments/admin/lifecycle/stages.html", context)


def _row(stage: stages.Stage) -> dict[str, Any]:
    is_list = stage.segment is not None and not stage.segment.is_dynamic
    return {"stage": stage, "sentence": "A fixed list" if is_list else rule_sentence(stage.rule)}


def _store(request: HttpRequest, added: Segment | None) -> bool:
    """Store the stages of the form in their order. Return False, with a message, if they are invalid."""
    removed = request.POST.get("remove", "")
    asked = [slug for slug in request.POST.getlist("asked") if slug != removed]
    shown = [slug for slug in request.POST.getlist("shown") if slug != removed]
    if added:
        asked.append(added.slug)
    places = {slug: place for place, slug in enumerate(shown)}
    try:
        editing.replace_stages(
            [StageEntry(slug, places.get(slug), request.POST.get(f"band-{slug}", "")) for slug in asked]
        )
    except InvalidStages as error:
        messages.error(request, error.message)
        return False
    stored = [stage.segment for stage in stages.stored_stages() if stage.segment]
    audit_log.log_changes(request, stored, f"Stages of the lifecycle: {', '.join(asked)}.")
    messages.success(request, "The lifecycle was saved.")
    return True


@require_permissions(VIEW_SEGMENT, ADD_SEGMENT, methods=WRITE_METHODS)
def set_up_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Store the built-in stages, and create the segments that are missing."""
    try:
        created = editing.set_up_lifecycle(by=staff_user(request))
    except ValidationError:  # the same button was pressed twice
        created = []
    audit_log.log_additions(request, created, "Created as a stage of the lifecycle.")
    with suppress(OperationalError):  # without Redis, the schedule of every minute refreshes them
        tasks.refresh_all.delay()
    counted = f" {count_text(len(created), 'segment')} were created." if created else ""
    messages.success(request, f"The lifecycle is set up.{counted}")
    return redirect("admin:index" if "from_home" in request.POST else "admin:segments_segment_lifecycle")
