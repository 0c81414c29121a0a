"""The customers of a cell of the flow, who become a fixed list, a segment or a campaign."""

from typing import Any

import redis
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from core.admin.permissions import READ_METHODS, require_permissions
from core.shop import shop
from segments import stages
from segments.admin.access import ADD_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from segments.lifecycle import kept_flows
from segments.lifecycle.kept_flows import FlowUnavailable
from segments.models import SLUG_LENGTH
from segments.stages import NO_STAGE, Stage

from .customer_rows import NameForm, create_from_form, rows_page
from .flow_page import requested_days, stage_name
from .page_context import lifecycle_context, may_list


class CellForm(forms.Form):
    """The query string: the stages on both days."""

    source = forms.CharField(max_length=SLUG_LENGTH)
    target = forms.CharField(max_length=SLUG_LENGTH)


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER)
def flow_people_view(model_admin: Any, request: HttpRequest) -> HttpResponseBase:
    """Show one page of the customers. A POST makes a list, a segment or a campaign of them."""
    may_make = request.user.has_perm(ADD_SEGMENT)
    if request.method not in READ_METHODS and not may_make:
        raise PermissionDenied
    days, asked = requested_days(request), stages.lifecycle_stages()
    if not may_list(request, asked):
        raise PermissionDenied
    source, target = _cell(request, asked)
    keys = None
    try:
        found = kept_flows.find_flow(asked, days.since, days.until)
        if found != "waiting":
            keys = kept_flows.customers_of_cell(found, source, target)
    except (FlowUnavailable, redis.RedisError):
        pass
    if keys is None:
        messages.info(request, "These customers have to be found again. Press the number when it is shown.")
        response = redirect("admin:segments_segment_flow")
        response["Location"] += f"?{days.query}"
        return response
    names = stage_name(asked, source, before=True), stage_name(asked, target, before=False)
    title = f"Stayed in {names[1]}" if source == target else f"{names[0]} → {names[1]}"
    form = NameForm(
        request.POST if request.method == "POST" else None,
        initial={"name": f"{names[0]} to {names[1]}, {days.words}"[:180]},
    )
    present_rule = _present_rule(asked, target)
    if form.is_valid():
        created = create_from_form(request, form, keys, f"{title}, {days.words}", present_rule)
        if created is not None:
            return created
    context = lifecycle_context(model_admin, request, "flow", title) | rows_page(request, keys)
    context |= {
        "words": days.words,
        "back": f"{reverse('admin:segments_segment_flow')}?{days.query}",
        "form": form,
        "may_make": may_make,
        "present_rule": present_rule,
        "currency": shop().currency,
    }
    return TemplateResponse(request, "segments/admin/lifecycle/cell_people.html", context)


def _cell(request: HttpRequest, asked: list[Stage]) -> tuple[str, str]:
    form = CellForm(request.GET)
    slugs = {NO_STAGE, *(stage.slug for stage in asked)}
    if not form.is_valid() or not slugs.issuperset(form.cleaned_data.values()):
        raise Http404
    return form.cleaned_data["source"], form.cleaned_data["target"]


def _present_rule(asked: list[Stage], target: str) -> dict[str, Any]:
    """Return the rule of those who are in the stage now: its own, and none of the stages that are asked before it."""
    place = next((place for place, stage in enumerate(asked) if stage.slug == target), len(asked))
    own = [_member_rule(stage) for stage in asked[place : place + 1]]
    before = [_member_rule(stage) for stage in asked[:place]]
    return {"all": [*own, *([{"none": before}] if before else [])]}


def _member_rule(stage: Stage) -> dict[str, Any]:
    return {"in_segment": {"is": stage.slug}} if stage.segment else dict(stage.rule)
