"""What staff do with selected people: put them on a fixed list, start a campaign for them, or download them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.admin import audit_log
from core.admin.permissions import WRITE_METHODS, require_permissions
from core.db import time_limits
from segments import fixed_lists, segment_store
from segments.admin import tabs
from segments.admin.access import ADD_SEGMENT, CHANGE_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from segments.admin.free_slugs import free_slug
from segments.admin.members import log_list_change
from segments.admin.page_context import admin_context
from segments.admin.texts import count_text
from segments.models import Segment

from . import query, table
from .query import PAGE_SIZE, People

NOBODY: Final = "Select people first."
MAX_SELECTED: Final = 100_000
"""People that one request puts on a list or removes from it."""


class TooManySelected(Exception):
    """More than MAX_SELECTED people are selected."""


class ListForm(forms.Form):
    """Where the selected people go: to a fixed list that exists, or to a new one with this name."""

    segment = forms.ModelChoiceField(
        Segment.objects.filter(kind=Segment.Kind.STATIC),
        label="Fixed list",
        required=False,
        empty_label="A new list",
        widget=UnfoldAdminSelectWidget(),
    )
    name = forms.CharField(
        label="Name of the new list", required=False, max_length=200, widget=UnfoldAdminTextInputWidget()
    )

    def clean(self) -> dict[str, Any]:
        """Require one of the two."""
        cleaned = super().clean() or {}
        if not cleaned.get("segment") and not cleaned.get("name", "").strip():
            raise ValidationError("Choose a list or name a new one.")
        return cleaned


@dataclass(frozen=True)
class Selection:
    """The selected people of one request: some by key, or everybody whom the table shows on all its pages."""

    people: People
    ticked: list[int]
    is_everybody: bool

    def keys(self) -> list[int]:
        """Return the customers. Raises TooManySelected and StatementTimeout."""
        with time_limits.time_limit(query.MAX_SECONDS):
            members = self.people.members()
            if not self.is_everybody:
                members = members.filter(customer__one_of=self.ticked)
            keys = list(members.values_list("customer_id", flat=True)[: MAX_SELECTED + 1])
        if len(keys) > MAX_SELECTED:
            raise TooManySelected
        return keys


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=WRITE_METHODS)
def selection_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponseBase:
    """Do what the pressed button says with the selected people."""
    segment = get_object_or_404(Segment, pk=pk)
    people = query.requested_people(request, segment)
    given = request.POST.getlist("customer")[:PAGE_SIZE]
    ticked = [int(key) for key in given if key.isascii() and key.isdigit() and len(key) < 19]
    selection = Selection(people, ticked, request.POST.get("everybody") == "yes")
    act: Callable[[Any, HttpRequest, Selection], HttpResponseBase] | None = _ACTIONS.get(
        request.POST.get("do", "")
    )
    if act is None or not (selection.ticked or selection.is_everybody):
        messages.warning(request, NOBODY)
        return _back(request, segment)
    try:
        return act(model_admin, request, selection)
    except time_limits.StatementTimeout:
        messages.error(request, "Finding these people takes too long. Remove a filter and try again.")
    except TooManySelected:
        advice = "Filter them, or freeze the segment as a fixed list."
        messages.error(request, f"These are more than {MAX_SELECTED:,} people. {advice}")
    return _back(request, segment)


def _download(model_admin: Any, request: HttpRequest, selection: Selection) -> HttpResponseBase:
    only = None if selection.is_everybody else selection.ticked
    return table.csv_response(selection.people.segment, table.rows_as_seen(selection.people, only))


def _put_on_list(model_admin: Any, request: HttpRequest, selection: Selection) -> HttpResponseBase:
    """Ask for the list, then put the people on it."""
    if not request.user.has_perms([ADD_SEGMENT, CHANGE_SEGMENT]):
        raise PermissionDenied
    source = selection.people.segment
    wants_campaign = request.POST["do"] == "campaign"
    if wants_campaign and selection.is_everybody and not selection.people.is_narrowed:
        return _to_campaign(request, source)  # the segment itself has these people
    keys = selection.keys()
    today = timezone.localtime()
    form = ListForm(
        request.POST if "confirmed" in request.POST else None,
        initial={"name": f"{source.name[:170]}, selected {today.day} {today:%b, %H:%M}"},
    )
    if form.is_valid():
        chosen = _fill_list(request, form, source, keys)
        return (
            _to_campaign(request, chosen)
            if wants_campaign
            else redirect("admin:segments_segment_members", chosen.pk)
        )
    context = admin_context(
        model_admin, request, "Start a campaign" if wants_campaign else "Add to a list", source
    )
    context |= {
        "tab": "members",
        "form": form,
        "count": len(keys),
        "do": request.POST["do"],
        "selection": selection,
        "button": "Create the list and choose a campaign" if wants_campaign else "Add to the list",
    }
    return TemplateResponse(request, "segments/admin/people_to_list.html", context)


def _fill_list(request: HttpRequest, form: ListForm, source: Segment, keys: list[int]) -> Segment:
    now = datetime.now(UTC)
    if chosen := form.cleaned_data["segment"]:
        outcome = fixed_lists.add_customers(chosen, keys, now)
        log_list_change(request, chosen, outcome)
        messages.success(
            request, f"{outcome.entered:,} added to {chosen.name}; it has {outcome.size:,} members now."
        )
        return Segment.objects.get(pk=chosen.pk)
    name = form.cleaned_data["name"].strip()
    description = f"Selected from {source.name}."
    slug = free_slug(f"{source.slug[:70]}-selected")
    created = segment_store.create_fixed_list(slug, name, keys, now, description=description)
    audit_log.log_additions(
        request, [created], f"Selected from {source.name}: {count_text(created.size, 'customer')}."
    )
    messages.success(request, f"{created.name} was created with {count_text(created.size, 'member')}.")
    return created


def _to_campaign(request: HttpRequest, segment: Segment) -> HttpResponseBase:
    """Redirect to the page that invites to something with a segment, such as a campaign."""
    inviting = [link.address for link in tabs.tab_links(request, segment) if link.invitation]
    return redirect(
        inviting[0] if inviting else "admin:segments_segment_members", *([] if inviting else [segment.pk])
    )


def _remove(model_admin: Any, request: HttpRequest, selection: Selection) -> HttpResponseBase:
    """Remove the people from a fixed list."""
    segment = selection.people.segment
    if segment.is_dynamic or not request.user.has_perm(CHANGE_SEGMENT):
        raise PermissionDenied
    outcome = fixed_lists.remove_customers(segment, selection.keys(), datetime.now(UTC))
    log_list_change(request, segment, outcome)
    messages.success(
        request, f"{outcome.left:,} removed from {segment.name}. It has {outcome.size:,} members now."
    )
    return redirect("admin:segments_segment_members", segment.pk)


def _back(request: HttpRequest, segment: Segment) -> HttpResponseBase:
    response = redirect("admin:segments_segment_members", segment.pk)
    if request.GET:
        response["Location"] += f"?{request.GET.urlencode()}"
    return response


_ACTIONS: Final = {"download": _download, "list": _put_on_list, "campaign": _put_on_list, "remove": _remove}
