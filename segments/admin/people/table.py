"""The page *People* of a segment: a table that staff sort, filter and select from, and the file of what it shows."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.values.csv_injection import csv_text
from customers.admin import contact_data
from segments.admin import tabs
from segments.admin.access import ADD_SEGMENT, CHANGE_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from segments.admin.page_context import admin_context
from segments.changes import member_stream
from segments.models import Segment

from . import columns, query
from .columns import Column
from .query import MAX_PAGE, PAGE_SIZE, People


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER)
def people_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show one page of people, known people first unless the person sorts by a column."""
    segment = get_object_or_404(Segment, pk=pk)
    people = query.requested_people(request, segment)
    shown_columns = columns.chosen_columns(request)
    keys = _keys_within_time(request, people)
    members = query.members_by_key(people, shown_columns, keys[:PAGE_SIZE])
    context = admin_context(model_admin, request, f"People of {segment.name}", segment) | {
        "tab": "members",
        "people": people,
        "form": people.form,
        "members": members,
        "rows": [(member, [(column, column.text(member)) for column in shown_columns]) for member in members],
        "headers": [_header(people, column) for column in shown_columns],
        "all_columns": [(column, column in shown_columns) for column in columns.COLUMNS.values()],
        "total": people.count(),
        "search_help": contact_data.search_help(request),
        "first": (people.number - 1) * PAGE_SIZE + 1,
        "previous": _changed(request, page=people.number - 1 if people.number > 2 else None)
        if people.number > 1
        else "",
        "next": _changed(request, page=people.number + 1)
        if len(keys) > PAGE_SIZE and people.number < MAX_PAGE
        else "",
        "is_cut": len(keys) > PAGE_SIZE and people.number >= MAX_PAGE,
        "as_seen": request.GET.urlencode(),
        "export": _changed(request, page=None, columns=[column.key for column in shown_columns]),
        "may_list": request.user.has_perms([ADD_SEGMENT, CHANGE_SEGMENT]),
        "may_remove": not segment.is_dynamic and request.user.has_perm(CHANGE_SEGMENT),
        "invitations": [link for link in tabs.tab_links(request, segment) if link.invitation],
    }
    response = TemplateResponse(request, "segments/admin/people.html", context)
    if "columns" in request.GET:
        response.set_cookie(
            columns.COOKIE,
            columns.cookie_value(shown_columns),
            max_age=columns.COOKIE_SECONDS,
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return response


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def people_csv_view(model_admin: Any, request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Stream the people as the table shows them, or all members with contact data if no columns are named."""
    segment = get_object_or_404(Segment, pk=pk)
    if "columns" not in request.GET:
        return csv_response(segment, _member_rows(request, segment))
    return csv_response(segment, rows_as_seen(query.requested_people(request, segment), None))


def csv_response(segment: Segment, rows: Iterable[str]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{segment.slug}-members.csv"'
    return response


def rows_as_seen(people: People, only: Iterable[int] | None) -> Iterator[str]:
    """Yield a CSV file with the chosen columns, after the customer's id. ``only`` keeps these customers."""
    shown = columns.chosen_columns(people.request)
    yield csv_text([("customer_id", *(column.key for column in shown))])
    for batch in query.member_batches(people, shown, only):
        yield csv_text(
            (member.customer.customer_id, *(column.cell(member) for column in shown)) for member in batch
        )


def _member_rows(request: HttpRequest, segment: Segment) -> Iterator[str]:
    contact = member_stream.CONTACT_COLUMNS if contact_data.may_see(request) else ()
    yield csv_text([("customer_id", "entered_at", *contact)])
    for share in member_stream.member_batches(segment, ("customer_id", *contact)):
        yield csv_text(
            (contact_data.visible_id(request, customer_id), entered_at.isoformat(), *others)
            for _, entered_at, customer_id, *others in share
        )


def _keys_within_time(request: HttpRequest, people: People) -> list[int]:
    try:
        return people.page()
    except time_limits.StatementTimeout:
        messages.warning(
            request,
            f"Finding these people takes longer than {query.MAX_SECONDS:g} seconds. Remove the order or a filter.",
        )
        return []


def _header(people: People, column: Column) -> dict[str, Any]:
    """Return the head of a column: its URL sorts by it, and in the other direction the second time."""
    is_sortable = column in columns.sortable_columns(people.request)
    is_up, is_down = people.sort == column.key, people.sort == f"-{column.key}"
    begins_down = column.is_number or column.is_moment  # the largest or the latest first
    following = f"-{column.key}" if is_up or (begins_down and not is_down) else column.key
    return {
        "column": column,
        "url": _changed(people.request, sort=following, page=None) if is_sortable else "",
        "order": "ascending" if is_up else "descending" if is_down else "",
    }


def _changed(request: HttpRequest, **values: Any) -> str:
    """Return the query string with other values; None removes one."""
    changed = request.GET.copy()
    for name, value in values.items():
        changed.pop(name, None)
        if value is not None:
            changed.setlist(name, [str(part) for part in (value if isinstance(value, list) else [value])])
    return f"?{changed.urlencode()}"
