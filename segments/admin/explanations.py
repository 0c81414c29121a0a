"""Explain why a customer is in each segment or not: every condition with the customer's value."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from core.admin.permissions import require_permissions
from customers.admin import contact_data
from customers.models import Customer
from segments import disclosure, references
from segments.evaluation import explanation, live
from segments.evaluation.explanation import Explanation
from segments.models import Membership, Segment
from segments.rules import Rule, RuleError, parse

from . import texts
from .access import VIEW_CUSTOMER, VIEW_SEGMENT
from .page_context import admin_context

PAGE_SIZE = 30
MAX_PAGE = 100_000


@dataclass(frozen=True)
class SegmentExplanation:
    """A segment, when the customer entered it (None if not a member), and whether its rule matches now."""

    segment: Segment
    entered_at: datetime | None
    tree: Explanation | None
    problem: str

    @property
    def trees(self) -> list[Explanation]:
        """Return the tree as a list of nodes, for the recursive template."""
        return [self.tree] if self.tree else []

    @property
    def ahead(self) -> str:
        """Return what the next refresh will do, or when the answer changes by itself."""
        if self.tree is None or not self.segment.is_active:
            return ""
        if self.tree.met != bool(self.entered_at):
            return "will enter at the next refresh" if self.tree.met else "will leave at the next refresh"
        return texts.change_phrase(self.tree)


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER)
def explanations_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Explain one page of segments, or the chosen segment. A request by htmx gets only this part."""
    customer = contact_data.visible_customer(request, get_object_or_404(Customer.objects.existing(), pk=pk))
    segments = Segment.objects.order_by("name", "pk")
    chosen = request.GET.get("segment", "")[:200].replace("\x00", "")
    if chosen:
        segments = segments.filter(slug=chosen)
    number = _page_number(request.GET.get("page", ""))
    start = (number - 1) * PAGE_SIZE
    found = list(segments[start : start + PAGE_SIZE + 1])
    context = {
        "customer": customer,
        "explained": explain_segments(request, customer, found[:PAGE_SIZE], datetime.now(UTC)),
        "chosen": chosen,
        "next": number + 1 if len(found) > PAGE_SIZE else 0,
    }
    if "HX-Request" in request.headers:
        return TemplateResponse(request, "segments/admin/explanations.html", context)
    context |= admin_context(model_admin, request, "Why the customer is in or out") | {"original": customer}
    return TemplateResponse(request, "segments/admin/explanation.html", context)


def _page_number(given: str) -> int:
    return max(1, min(int(given), MAX_PAGE)) if given.isascii() and given.isdigit() and len(given) < 9 else 1


def explain_segments(
    request: HttpRequest, customer: Customer, segments: list[Segment], at: datetime
) -> list[SegmentExplanation]:
    """Explain several segments for one customer."""
    members = Membership.objects.filter(customer=customer, segment__in=segments)
    entered = dict(members.values_list("segment_id", "entered_at"))
    rules: dict[int, Rule] = {}
    problems: dict[int, str] = {}
    for segment in segments:
        if not segment.is_dynamic:
            problems[segment.pk] = explanation.NO_RULE
            continue
        try:
            rules[segment.pk] = parse(segment.rule)
        except RuleError as error:
            problems[segment.pk] = f"The rule is invalid: {error}"
    context = live.context_for_customers([customer.pk], at)
    live.compute_rule_statistics(rules.values(), context)
    explained = explanation.explain_each(
        list(rules.values()),
        customer,
        context,
        shows=lambda condition: contact_data.may_see(request) or disclosure.may_show_value(condition),
        segment_names=references.segment_names(rules.values()),
    )
    trees = dict(zip(rules, explained, strict=True))
    return [
        SegmentExplanation(
            segment,
            entered.get(segment.pk),
            tree := trees.get(segment.pk),
            problems.get(segment.pk, "" if tree else explanation.NOT_SEEN_YET),
        )
        for segment in segments
    ]
