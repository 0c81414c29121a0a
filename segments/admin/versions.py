"""The history of a segment: the versions of its rule, compared and restored, its refreshes, who came and went."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from customers.admin import contact_data
from segments import disclosure, segment_store
from segments.models import Change, RefreshResult, Segment, Version
from segments.rules import RuleError, parse

from . import rule_diff, texts
from .access import CHANGE_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from .forms import rule_error_text
from .page_context import admin_context

VERSIONS_SHOWN, RESULTS_SHOWN, CHANGES_SHOWN = 100, 10, 20


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def versions_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show what the segment asked when, and what came of it lately."""
    segment = get_object_or_404(Segment, pk=pk)
    versions = list(segment.versions.all()[:VERSIONS_SHOWN])
    results = RefreshResult.objects.filter(segment=segment).select_related("refresh").order_by("-pk")
    with_customers = request.user.has_perm(VIEW_CUSTOMER)
    changes = (
        list(Change.objects.filter(segment=segment).order_by("-pk")[:CHANGES_SHOWN]) if with_customers else []
    )
    for change in changes:
        change.public_id = contact_data.visible_id(request, change.public_id)
    context = admin_context(model_admin, request, f"History of {segment.name}", segment) | {
        "tab": "history",
        "versions": [(version, texts.rule_sentence(version.rule)) for version in versions],
        "can_compare": len(versions) > 1,
        "results": results[:RESULTS_SHOWN],
        "with_customers": with_customers,
        "changes": changes,
    }
    return TemplateResponse(request, "segments/admin/history.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def compare_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show what differs between two versions; by default the latest two."""
    segment = get_object_or_404(Segment, pk=pk)
    numbers = list(segment.versions.values_list("number", flat=True)[:VERSIONS_SHOWN])
    after = _chosen_version(request, "to", numbers, 0)
    before = _chosen_version(request, "from", numbers, 1)
    context = admin_context(model_admin, request, f"Versions of {segment.name}", segment) | {
        "tab": "history",
        "numbers": numbers,
    }
    if before and after:
        old, new = segment.versions.get(number=before), segment.versions.get(number=after)
        context |= {
            "before": old,
            "after": new,
            "compared": (old, new),
            "words": rule_diff.diff_words(texts.rule_sentence(old.rule), texts.rule_sentence(new.rule)),
            "lines": rule_diff.diff_lines(old.rule, new.rule),
        }
    return TemplateResponse(request, "segments/admin/compare.html", context)


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, methods=WRITE_METHODS)
def restore_view(model_admin: Any, request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Let the segment ask again what it asked in a version; that is undone by restoring once more."""
    version = get_object_or_404(Version.objects.select_related("segment"), segment=pk, number=number)
    before = version.segment.version
    try:
        if not contact_data.may_see(request) and version.rule != version.segment.rule:
            disclosure.check_exposure(parse(version.rule))
        segment = segment_store.restore_version(version, by=staff_user(request))
    except RuleError as error:
        messages.error(request, f"Version {number} cannot be restored: {rule_error_text(error)}")
    except ValidationError as error:
        messages.error(request, f"Version {number} cannot be restored: {' '.join(error.messages)}")
    else:
        if segment.version == before:
            messages.info(request, f"{segment.name} asks what version {number} asked already.")
        else:
            told_of = f"Restored version {number}: {texts.rule_sentence(segment.rule)}."
            audit_log.log_changes(request, [segment], told_of)
            messages.success(
                request,
                f"{segment.name} asks again what it asked in version {number}, as version {segment.version};"
                f" the next refresh follows it. To undo that, restore version {before}.",
            )
    return redirect("admin:segments_segment_versions", pk)


def _chosen_version(request: HttpRequest, parameter: str, numbers: list[int], place: int) -> int | None:
    """Give the number that was asked for, if there is that version, or the one at a place of the list."""
    given = request.GET.get(parameter, "")
    default = numbers[place] if place < len(numbers) else None
    return next((number for number in numbers if str(number) == given), default)
