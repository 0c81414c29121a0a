"""The members of a segment: search, download, and add or remove customers of a fixed list."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions
from core.values.csv_injection import csv_text
from customers.admin import contact_data
from customers.models import Customer
from segments import fixed_lists
from segments.changes import member_stream
from segments.models import Membership, Segment
from segments.refresh.write import Outcome

from .access import CHANGE_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from .forms import CustomerIdsForm, ids_text
from .page_context import admin_context
from .texts import count_text

PAGE_SIZE = 50
MAX_KEY = 2**63 - 1


class MembersQueryForm(forms.Form):
    """The query string: search text, order, and the key of the last customer of the page before."""

    q = forms.CharField(required=False, max_length=300)
    order = forms.ChoiceField(required=False, choices=[("newest", "newest first")])
    after = forms.IntegerField(required=False, min_value=0, max_value=MAX_KEY)
    entered = forms.DateTimeField(required=False, input_formats=["%Y-%m-%dT%H:%M:%S.%f%z"])


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER)
def members_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show one page of members, in the order of their keys or the newest first."""
    segment = get_object_or_404(Segment, pk=pk)
    where = MembersQueryForm(request.GET)
    where.is_valid()  # invalid parameters are ignored
    given = where.cleaned_data
    term, after, entered = given.get("q", ""), given.get("after") or 0, given.get("entered")
    is_newest_first = given.get("order") == "newest"
    members = (
        _newest_members_queryset(segment, entered, after)
        if is_newest_first
        else _members_queryset(segment, after)
    )
    if term.strip():
        members = members.filter(
            customer_id__in=Customer.objects.filter(contact_data.search_q(request, term)).values("pk")
        )
    rows = list(members.select_related("customer__facts")[: PAGE_SIZE + 1])
    shown, more = rows[:PAGE_SIZE], len(rows) > PAGE_SIZE
    for member in shown:
        member.customer = contact_data.visible_customer(request, member.customer)
    query = request.GET.copy()
    if more:
        query["after"] = str(shown[-1].customer_id)
        query["entered"] = shown[-1].entered_at.strftime("%Y-%m-%dT%H:%M:%S.%f%z")
    return TemplateResponse(
        request,
        "segments/admin/members.html",
        admin_context(model_admin, request, "Members", segment)
        | {
            "tab": "members",
            "members": shown,
            "term": term,
            "is_newest_first": is_newest_first,
            "search_help": contact_data.search_help(request),
            "is_first": not after,
            "next": f"?{query.urlencode()}" if more else "",
            "can_remove": not segment.is_dynamic and request.user.has_perm(CHANGE_SEGMENT),
        },
    )


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def members_csv_view(model_admin: Any, request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Stream all members as CSV, with contact data if the person may see it."""
    segment = get_object_or_404(Segment, pk=pk)
    response = StreamingHttpResponse(_csv_rows(request, segment), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{segment.slug}-members.csv"'
    return response


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, VIEW_CUSTOMER)
def add_members_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Add customers to a fixed list by their ids."""
    segment = _get_fixed_list(pk)
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


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, VIEW_CUSTOMER, methods=WRITE_METHODS)
def remove_members_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Remove the selected customers from a fixed list."""
    segment = _get_fixed_list(pk)
    keys = [
        int(key) for key in request.POST.getlist("customer")[:PAGE_SIZE] if key.isascii() and key.isdigit()
    ]
    if keys:
        outcome = fixed_lists.remove_customers(segment, keys, datetime.now(UTC))
        log_list_change(request, segment, outcome)
        messages.success(
            request, f"{outcome.left:,} removed from {segment.name}. It has {outcome.size:,} members now."
        )
    else:
        messages.warning(request, "Select the customers to remove first.")
    return redirect(reverse("admin:segments_segment_members", args=[segment.pk]))


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


def _get_fixed_list(pk: int) -> Segment:
    return get_object_or_404(Segment, pk=pk, kind=Segment.Kind.STATIC)


def _newest_members_queryset(segment: Segment, entered: datetime | None, before: int) -> QuerySet[Membership]:
    members = Membership.objects.filter(segment=segment)
    if entered:
        members = members.filter(
            Q(entered_at__lt=entered) | Q(entered_at=entered, customer_id__lt=before), entered_at__lte=entered
        )
    return members.order_by("-entered_at", "-customer_id")


def _members_queryset(segment: Segment, after: int) -> QuerySet[Membership]:
    return Membership.objects.filter(segment=segment, customer_id__gt=after).order_by("customer_id")


def _csv_rows(request: HttpRequest, segment: Segment) -> Iterator[str]:
    columns = member_stream.CONTACT_COLUMNS if contact_data.may_see(request) else ()
    yield csv_text([("customer_id", "entered_at", *columns)])
    for share in member_stream.member_batches(segment, ("customer_id", *columns)):
        yield csv_text(
            (contact_data.visible_id(request, customer_id), entered_at.isoformat(), *others)
            for _, entered_at, customer_id, *others in share
        )
