"""The rule editor: its form widget, and the endpoints that count a rule while somebody edits it.

The page contains the rule as JSON in a text area, which also works without JavaScript. The editor in
``static/segments/editor/`` is another view of the same text.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.forms.widgets import Media, Script
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget

from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions
from core.db import time_limits
from core.shop import shop
from customers.admin import contact_data
from customers.models import Customer
from segments import disclosure, references, segment_store
from segments.evaluation import counting, suggestions
from segments.models import Segment
from segments.rules import Condition, Rule, RuleError, parse, registry
from segments.rules.catalogue import GROUP_LABELS, UNRECORDED, list_filters

from .access import VIEW_CUSTOMER, VIEW_SEGMENT

MAX_RULE_BYTES = 1_000_000
MAX_CHECKED_VALUES = 20
NO_WORKER = "Counting takes longer than usual, and no worker can continue it, because Redis is unavailable."


class RuleEditorWidget(UnfoldAdminTextareaWidget):
    """A text area for JSON, with the editor above it."""

    template_name = "segments/admin/rule_editor.html"

    def __init__(self) -> None:
        super().__init__(attrs={"rows": 12, "spellcheck": "false"})

    @property
    def media(self) -> Media:
        return super().media + Media(
            js=[Script("segments/editor/editor.js", type="module")],  # type: ignore[list-item]
            css={"all": ["segments/editor/editor.css"]},
        )

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add the filters, segments and URLs that the editor needs."""
        return super().get_context(name, value, attrs) | {
            "knowledge": {
                "groups": GROUP_LABELS,
                "filters": [asdict(entry) | _editor_entry(registry[entry.name]) for entry in list_filters()],
                "unrecorded": [asdict(one) for one in UNRECORDED],
                "segments": list(Segment.objects.order_by("name").values("slug", "name", "size")),
                "currency": shop().currency,
                "urls": {
                    name: reverse(f"admin:segments_segment_rule_{name}")
                    for name in ("count", "details", "suggestions", "unknown_values")
                },
            }
        }


def _editor_entry(cls: type[Condition]) -> dict[str, Any]:
    """Return what the editor knows of a filter besides the catalogue of the API."""
    return {
        "unit": cls.unit,
        "verbs": cls.verbs,
        "synonyms": cls.synonyms,
        "presets": [asdict(preset) for preset in cls.presets],
    }


@require_permissions(VIEW_SEGMENT, methods=WRITE_METHODS)
def count_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Return the rule as a sentence and how many customers match, or the error with its path."""
    try:
        given, rule = _parse_request(request)
    except RuleError as error:
        return _error_response(error)
    data: dict[str, Any] = {"sentence": f"Everyone who {references.with_segment_names(rule).sentence()}"}
    try:
        return JsonResponse(data | _count_data(counting.count_matching(rule, settings.COUNT_PATIENCE)))
    except time_limits.StatementTimeout:
        pass
    try:
        ticket = counting.enqueue_count(given, str(request.user.pk))
    except counting.WorkerUnavailable:
        return JsonResponse(data | {"problem": NO_WORKER})
    return JsonResponse(
        data | {"waiting": reverse("admin:segments_segment_rule_count_result", args=[ticket])}
    )


@require_permissions(VIEW_SEGMENT, methods=WRITE_METHODS)
def details_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Return how many customers each condition matches alone, and some customers who match the rule."""
    try:
        _, rule = _parse_request(request)
        return JsonResponse(_details_data(counting.count_conditions(rule), request))
    except RuleError as error:
        return _error_response(error)
    except time_limits.StatementTimeout:
        return JsonResponse({})


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def count_result_view(model_admin: Any, request: HttpRequest, ticket: str) -> HttpResponse:
    """Return the result of a count in the background, or an empty object while it runs."""
    try:
        done = counting.fetch_count(ticket)
    except LookupError as error:
        return JsonResponse({"problem": str(error)})
    return JsonResponse(_count_data(done[0]) | _details_data(done[1], request) if done else {})


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def suggestions_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Return values of the shop's records, of one kind and containing a text, with their customers."""
    kind, part, name = (request.GET.get(key, "").replace("\x00", "") for key in ("of", "q", "name"))
    if not contact_data.may_suggest(request, kind):
        return JsonResponse({"values": []})
    try:
        with time_limits.time_limit(counting.COUNT_SECONDS):
            values = suggestions.suggest_values(kind, part, name)
    except (KeyError, time_limits.StatementTimeout):
        values = []
    return JsonResponse({"values": _visible_values(request, values)})


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def unknown_values_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Return which of the given values no record has, each with the values most like it."""
    kind, name = (request.GET.get(key, "").replace("\x00", "") for key in ("of", "name"))
    unknown: dict[str, Any] = {}
    if not contact_data.may_suggest(request, kind):
        return JsonResponse({"unknown": unknown})
    with suppress(KeyError, time_limits.StatementTimeout), time_limits.time_limit(counting.COUNT_SECONDS):
        for value in request.GET.getlist("value")[:MAX_CHECKED_VALUES]:
            nearest = suggestions.nearest_values(kind, value.replace("\x00", ""), name)
            if nearest is not None and contact_data.is_visible(request, value):
                unknown[value] = _visible_values(request, nearest)
    return JsonResponse({"unknown": unknown})


def _visible_values(request: HttpRequest, values: list[suggestions.SuggestedValue]) -> list[dict[str, Any]]:
    return [asdict(one) for one in values if contact_data.is_visible(request, one.value)]


def _parse_request(request: HttpRequest) -> tuple[Any, Rule]:
    """Return the rule of a request, as JSON and parsed. Raises RuleError."""
    if len(request.body) > MAX_RULE_BYTES:
        raise RuleError("rule", "is too long")
    given = segment_store.parse_json(request.body.decode(errors="replace"))
    if not isinstance(given, Mapping) or "rule" not in given:
        raise RuleError("rule", "missing")
    rule = parse(given["rule"])
    if not contact_data.may_see(request):
        disclosure.check_exposure(rule)
    references.check_references({str(given.get("slug") or ""): rule})
    return given["rule"], rule


def _error_response(error: RuleError) -> JsonResponse:
    return JsonResponse({"error": {"path": error.path or "rule", "message": error.message}})


def _count_data(count: counting.RuleCount) -> dict[str, Any]:
    return {"counted": asdict(count) | {"at": f"{timezone.localtime(count.at):%H:%M:%S}"}}


def _details_data(details: counting.CountDetails, request: HttpRequest) -> dict[str, Any]:
    # Without this check, staff who may not see contact data could search people by it, with a rule they never save.
    if not (request.user.has_perm(VIEW_CUSTOMER) and contact_data.may_see(request)):
        return {"conditions": details.conditions}
    customers = Customer.objects.filter(pk__in=details.sample).select_related("facts").order_by("pk")
    return {
        "conditions": details.conditions,
        "sample": [
            {"name": customer.name, "url": reverse("admin:customers_customer_change", args=[customer.pk])}
            for customer in customers
        ],
    }
