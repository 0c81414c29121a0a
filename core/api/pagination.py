"""Pages of lists that change while they are read.

A cursor names a place in the order of a unique, unchanging key. Whatever enters or leaves between two pages,
a row that was there all the time comes exactly once, and the last page costs as much as the first.

``CursorPagination`` of Django REST framework skips a row here: its links on an empty page start behind the row that
the cursor names, which stays. It also links to pages that are empty since everybody on that side has left.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, Self

from django.db.models import QuerySet
from django.template import loader
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

PAGE_SIZE, MAX_PAGE_SIZE = 50, 200

_PLACE = re.compile(r"(after|before):([0-9]{1,18})")


@dataclass(frozen=True)
class Cursor:
    """A place next to the row of this key, and the direction in which to read from there."""

    forward: bool
    key: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``str`` gave; raises ValueError for anything else."""
        place = _PLACE.fullmatch(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        if place is None:
            raise ValueError("not a cursor")
        return cls(place[1] == "after", int(place[2]))

    def __str__(self) -> str:
        # Not signed: whoever makes one up sees a page of the list that is open to them anyway.
        place = f"{'after' if self.forward else 'before'}:{self.key}"
        return urlsafe_b64encode(place.encode()).decode().rstrip("=")


class KeysetPagination(BasePagination):
    """Pages in the order of one unique column of whole numbers; two queries a page."""

    key = "id"
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(  # type: ignore[override]  # a plain list cannot be asked by key
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Give the rows of a page, and find out whether there are others on either side of it."""
        self.request = request
        size, cursor = parse_page_size(request), parse_cursor(request)
        forward = cursor is None or cursor.forward
        key = self.key
        page = queryset.order_by(key if forward else f"-{key}")
        if cursor:
            page = page.filter(**{f"{key}__{'gt' if forward else 'lt'}": cursor.key})
        rows = list(page[: size + 1])
        is_more = len(rows) > size
        rows = rows[:size] if forward else rows[:size][::-1]
        keys = [getattr(row, key) for row in rows]

        if forward:
            self.next = Cursor(True, keys[-1]) if is_more else None
            # The row the cursor names may have left, and so may all before it.
            first = keys[0] if keys else cursor.key + 1 if cursor else 0
            is_before = cursor is not None and _is_any(queryset.filter(**{f"{key}__lt": first}), f"-{key}")
            self.previous = Cursor(False, first) if is_before else None
        else:
            assert cursor is not None
            self.previous = Cursor(False, keys[0]) if is_more else None
            last = keys[-1] if keys else max(cursor.key - 1, 0)
            is_behind = _is_any(queryset.filter(**{f"{key}__gt": last}), key)
            self.next = Cursor(True, last) if is_behind else None
        self.display_page_controls = True  # only now: the browsable API draws errors too, which have no links
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """Answer with the links and the rows."""
        return Response(
            {"next": self._link(self.next), "previous": self._link(self.previous), "results": data}
        )

    def to_html(self) -> str:
        """Draw the links for the browsable API."""
        links = {"previous_url": self._link(self.previous), "next_url": self._link(self.next)}
        return loader.get_template(self.template).render(links)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page."""
        link = {"type": "string", "format": "uri", "nullable": True}
        address = "https://shop.example/…?cursor="
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link
                | {
                    "description": "The page behind; null on the last.",
                    "example": address + str(Cursor(True, 1042)),
                },
                "previous": link
                | {
                    "description": "The page before; null on the first.",
                    "example": address + str(Cursor(False, 993)),
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Describe the parameters."""
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Where the page starts, as `next` and `previous` give it.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": f"Rows a page, {PAGE_SIZE} unless told; more than {MAX_PAGE_SIZE} are not given.",
                "schema": {"type": "integer", "minimum": 1, "default": PAGE_SIZE},
            },
        ]

    def _link(self, cursor: Cursor | None) -> str | None:
        address = self.request.build_absolute_uri()
        return replace_query_param(address, "cursor", str(cursor)) if cursor else None


class CustomerPagination(KeysetPagination):
    """Pages of what each customer has one of."""

    key = "customer_id"


def _is_any(queryset: QuerySet[Any], order: str) -> bool:
    # The nearest one, not just any: without an order PostgreSQL may search the whole table for the first hit.
    return queryset.order_by(order).values_list(order.removeprefix("-")).first() is not None


def parse_cursor(request: Request) -> Cursor | None:
    """Read the place that was asked for, or answer that it is none."""
    given = request.query_params.get("cursor")
    if not given:
        return None
    try:
        return Cursor.read(given)
    except ValueError:
        message = "This is not a cursor that a page gave; begin again without one."
        raise ValidationError({"cursor": message}) from None


def parse_page_size(request: Request, most: int = MAX_PAGE_SIZE) -> int:
    """Read how many rows a page shall have, or answer what can be given."""
    given = request.query_params.get("page_size", str(PAGE_SIZE))
    if not re.fullmatch(r"0*[1-9][0-9]*", given):
        raise ValidationError({"page_size": f"Give a whole number from 1 to {most}."})
    # By length first: Python refuses to read a number of thousands of digits.
    return most if len(given) > 9 else min(int(given), most)
