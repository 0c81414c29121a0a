"""The history of a segment: versions of its rule, which can be compared and restored, refreshes, and changes."""

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

MAX_VERSIONS, MAX_RESULTS, MAX_CHANGES = 100, 10, 20


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def versions_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the versions of the rule, and the latest refreshes and changes."""
    segment = get_object_or_404(Segment, pk=pk)
    versions = list(segment.versions.all()[:MAX_VERSIONS])
    results = RefreshResult.objects.filter(segment=segment).select_related("refresh").order_by("-pk")
    with_customers = request.user.has_perm(VIEW_CUSTOMER)
    changes = (
        list(Change.objects.filter(segment=segment).order_by("-pk")[:MAX_CHANGES]) if with_customers else []
    )
    customers = contact_data.customers_by_key(request, {change.customer_id for change in changes})
    context = admin_context(model_admin, request, f"History of {segment.name}", segment) | {
        "tab": "history",
        "versions": [(version, texts.rule_sentence(version.rule)) for version in versions],
        "can_compare": len(versions) > 1,
        "results": results[:MAX_RESULTS],
        "with_customers": with_customers,
        "changes": [(change, customers.get(change.customer_id)) for change in changes],
    }
    return TemplateResponse(request, "segments/admin/history.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def compare_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the differences of two versions, by default the latest two."""
    segment = get_object_or_404(Segment, pk=pk)
    numbers = list(segment.versions.values_list("number", flat=True)[:MAX_VERSIONS])
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
    """Save the rule of a former version as a new version."""
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
            messages.info(request, f"{segment.name} already has the rule of version {number}.")
        else:
            restored = f"Restored version {number}: {texts.rule_sentence(segment.rule)}."
            audit_log.log_changes(request, [segment], restored)
            messages.success(
                request,
                f"Version {segment.version} of {segment.name} has the rule of version {number}. The next refresh uses"
                f" it. To undo this, restore version {before}.",
            )
    return redirect("admin:segments_segment_versions", pk)


def _chosen_version(request: HttpRequest, parameter: str, numbers: list[int], place: int) -> int | None:
    """Return the requested version if it exists, or the one at a place of the list."""
    given = request.GET.get(parameter, "")
    default = numbers[place] if place < len(numbers) else None
    return next((number for number in numbers if str(number) == given), default)
