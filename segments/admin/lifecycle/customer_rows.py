"""Lists of customers, given by their keys, and the segments that staff create from them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminTextInputWidget

from core.admin import audit_log
from core.admin.permissions import staff_user
from core.values.decimals import from_units
from customers.admin import contact_data
from customers.models import Customer
from segments import segment_store
from segments.admin import refresh_requests, tabs
from segments.admin.free_slugs import free_slug
from segments.admin.people.selection import MAX_SELECTED
from segments.admin.texts import count_text
from segments.models import Segment

PAGE_SIZE: Final = 50


class NameForm(forms.Form):
    name = forms.CharField(max_length=180, widget=UnfoldAdminTextInputWidget())


def rows_page(request: HttpRequest, keys: Sequence[int]) -> dict[str, Any]:
    """Return one page of customers, the newest first, for the template context."""
    paginator = Paginator(range(len(keys)), PAGE_SIZE)
    page = paginator.get_page(request.GET.get("page"))
    chosen = [keys[len(keys) - 1 - place] for place in page]
    found = {
        customer.pk: customer for customer in Customer.objects.filter(pk__in=chosen).select_related("facts")
    }
    query = request.GET.copy()
    query.pop("page", None)
    shown = [found[key] for key in chosen if key in found]
    return {
        "rows": [(contact_data.visible_customer(request, customer), _facts(customer)) for customer in shown],
        "page": page,
        "count": len(keys),
        "query": query.urlencode(),
    }


def _facts(customer: Customer) -> dict[str, Any]:
    facts = getattr(customer, "facts", None)
    if facts is None:
        return {"order_count": 0, "spent": None, "last_activity": None}
    return {
        "order_count": facts.order_count,
        "spent": from_units(facts.total_spent),
        "last_activity": facts.last_activity_at,
    }


def create_from_form(
    request: HttpRequest,
    form: NameForm,
    keys: Sequence[int],
    source: str,
    present_rule: dict[str, Any] | None = None,
) -> HttpResponseBase | None:
    """Create a fixed list of the customers and, if its button was pressed, a segment. Return a redirect.

    Return None, with an error of the form, if there are too many customers. ``source`` says in words where they come
    from. The segment contains those of the list whom ``present_rule`` matches.
    """
    if len(keys) > MAX_SELECTED:
        form.add_error(None, f"These are more than {MAX_SELECTED:,} people. Choose fewer days.")
        return None
    name, action = form.cleaned_data["name"].strip(), request.POST.get("do")
    with transaction.atomic():
        listed = segment_store.create_fixed_list(
            free_slug("from-lifecycle"), name, keys, datetime.now(UTC), description=f"{source}."
        )
        audit_log.log_additions(request, [listed], f"{source}: {count_text(listed.size, 'customer')}.")
        if action == "segment" and present_rule:
            return redirect("admin:segments_segment_change", _make_segment(request, listed, present_rule).pk)
    messages.success(request, f"{listed.name} was created with {count_text(listed.size, 'member')}.")
    if action == "campaign":
        inviting = [link.address for link in tabs.tab_links(request, listed) if link.invitation]
        if inviting:
            return redirect(inviting[0])
    return redirect("admin:segments_segment_members", listed.pk)


def _make_segment(request: HttpRequest, listed: Segment, present_rule: dict[str, Any]) -> Segment:
    segment = segment_store.save_segment(
        Segment(
            slug=free_slug(f"{listed.slug}-still"),
            name=f"{listed.name}, still there",
            description=f"Those of the list {listed.name} who are still in the stage.",
            rule={"all": [{"in_segment": {"is": listed.slug}}, present_rule]},
        ),
        by=staff_user(request),
    )
    audit_log.log_additions(request, [segment], f"Those of {listed.name} who are still there.")
    refresh_requests.queue_after_saving(request, segment)
    messages.success(request, f"{listed.name} and {segment.name} were created.")
    return segment
