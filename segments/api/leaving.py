"""When members leave by time alone: beside each member, and as an order of the list."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.pagination import parse_page_size
from core.db import time_limits
from segments.evaluation import counting, upcoming
from segments.evaluation.context import shop_zone
from segments.evaluation.upcoming import MAX_WITHIN, UpcomingChange, find_leaving_times, find_upcoming
from segments.models import Segment
from segments.rules import EvaluationContext, RuleError, parse

from .places import NEVER, Place, link, parse_place

MAX_SECONDS = 10.0

MemberRow = tuple[Any, ...]  # it begins with the customer's key


class OrderTookTooLong(APIException):
    """The evaluation was stopped."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "took_too_long"
    default_detail = (
        f"Finding out who leaves first took longer than {MAX_SECONDS:.0f} seconds and was stopped."
    )


def get_segment_with_rule(slug: str) -> Segment:
    """Return a segment with the columns that are needed here. Raises NotFound."""
    segment = Segment.objects.only("kind", "rule").filter(slug=slug).first()
    if segment is None:
        raise NotFound(f"There is no segment {slug}.")
    return segment


def leaving_times(segment: Segment, customers: list[int]) -> dict[int, datetime]:
    """Return when these members leave by time alone, by key; nobody if that is not found out in time."""
    if not customers or not moves_by_time(segment):
        return {}
    try:
        rule = parse(segment.rule)
        with time_limits.time_limit(counting.COUNT_SECONDS):
            return find_leaving_times(rule, customers, counting.stored_context())
    except (RuleError, time_limits.StatementTimeout):
        return {}


def moves_by_time(segment: Segment) -> bool:
    """Return whether members can leave by time alone. Only the rule is looked at."""
    if not segment.is_dynamic:
        return False
    try:
        return upcoming.moves_by_time(parse(segment.rule), EvaluationContext(datetime.now(UTC), shop_zone()))
    except RuleError:
        return False


def page_by_leaving(
    request: Request,
    segment: Segment,
    members: QuerySet[Any, MemberRow],
    as_objects: Callable[[list[MemberRow], dict[int, datetime]], list[dict[str, Any]]],
) -> Response:
    """Return a page of members: first those who leave within 90 days, in order of time, then the others.

    ``members`` selects rows that begin with the customer's key.
    """
    place, size = parse_place(request), parse_page_size(request)
    leaving = _members_who_leave(segment, members)
    index = place.index_in(leaving) if place else 0
    shown = leaving[index : index + size] if place is None or place.at < NEVER else []
    by_key = {row[0]: row for row in members.filter(customer_id__in=[one.key for one in shown])}
    rows = [by_key[one.key] for one in shown if one.key in by_key]
    times = {one.key: one.at for one in shown}
    last = Place.beside(shown[-1], forward=True) if shown else place
    if len(shown) < size:
        after = place.key if place and place.at == NEVER else 0
        others = members.filter(customer_id__gt=after)
        others = others.exclude(customer__one_of=[one.key for one in leaving])
        rest = list(others.order_by("customer_id")[: size - len(shown) + 1])
        is_more = len(rest) > size - len(shown)
        rest = rest[: size - len(shown)]
        times |= leaving_times(segment, [row[0] for row in rest])
        rows += rest
        last = Place(True, NEVER, rest[-1][0]) if rest else last
    else:
        is_more = True
    following = link(request, last) if is_more and last else None
    return Response({"next": following, "previous": None, "results": as_objects(rows, times)})


def _members_who_leave(segment: Segment, members: QuerySet[Any, MemberRow]) -> list[UpcomingChange]:
    if not segment.is_dynamic:
        return []
    try:
        with time_limits.time_limit(MAX_SECONDS):
            changes = find_upcoming(parse(segment.rule), counting.stored_context(), MAX_WITHIN)
    except RuleError:
        return []
    except time_limits.StatementTimeout:
        raise OrderTookTooLong from None
    leaving = [one for one in changes if one.change == "left"]
    inside: set[int] = set()
    for first in range(0, len(leaving), 1_000):
        keys = [one.key for one in leaving[first : first + 1_000]]
        inside |= set(members.filter(customer_id__in=keys).values_list("customer_id", flat=True))
    return [one for one in leaving if one.key in inside]
