"""Pages of a customer's records: a few rows and a way to the older ones, nothing counted."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

ROWS = 20
LAST_PAGE = 100_000


@dataclass(frozen=True)
class Page:
    """Some rows, and the addresses of the newer and the older ones."""

    rows: list[Any]
    newer: str
    older: str


def page(request: HttpRequest, parameter: str, rows: QuerySet[Any]) -> Page:
    """Take the page that a query parameter names; anything but a page's number names the first."""
    given = request.GET.get(parameter, "")
    number = min(int(given), LAST_PAGE) if given.isascii() and given.isdigit() else 1
    number = max(number, 1)
    start = (number - 1) * ROWS
    found = list(rows[start : start + ROWS + 1])
    return Page(
        rows=found[:ROWS],
        newer=_address(request, parameter, number - 1) if number > 1 else "",
        older=_address(request, parameter, number + 1) if len(found) > ROWS else "",
    )


def _address(request: HttpRequest, parameter: str, number: int) -> str:
    query = request.GET.copy()
    query[parameter] = str(number)
    return f"?{query.urlencode()}#{parameter}"
