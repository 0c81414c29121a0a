"""Keyset pagination for lists that change while they are read.

A cursor is a position in the order of a unique, unchanging key. Rows may come and go between two pages: a row that
stays is returned exactly once, and the last page costs as much as the first.

``CursorPagination`` of Django REST framework skips a row: the links of an empty page start after the row of the cursor,
which still exists. It also links to pages whose rows have all gone.
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
    """A position next to the row with this key, and the direction to read from there."""

    forward: bool
    key: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what ``str`` returned. Raises ValueError."""
        place = _PLACE.fullmatch(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        if place is None:
            raise ValueError("not a cursor")
        return cls(place[1] == "after", int(place[2]))

    def __str__(self) -> str:
        # Not signed: a made-up cursor only selects another page of the same list.
        place = f"{'after' if self.forward else 'before'}:{self.key}"
        return urlsafe_b64encode(place.encode()).decode().rstrip("=")


class KeysetPagination(BasePagination):
    """Pages in the order of a unique integer column. Two queries per page."""

    key = "id"
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(  # type: ignore[override]  # needs a queryset, not a list
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """Return the rows of a page, and check whether there are rows before and after it."""
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
        keys = [self.key_of(row) for row in rows[:1] + rows[-1:]]

        if forward:
            self.next = Cursor(True, keys[-1]) if is_more else None
            # The row of the cursor may be gone, and so may all rows before it.
            first = keys[0] if keys else cursor.key + 1 if cursor else 0
            is_before = cursor is not None and _is_any(queryset.filter(**{f"{key}__lt": first}), f"-{key}")
            self.previous = Cursor(False, first) if is_before else None
        else:
            assert cursor is not None
            self.previous = Cursor(False, keys[0]) if is_more else None
            last = keys[-1] if keys else max(cursor.key - 1, 0)
            is_behind = _is_any(queryset.filter(**{f"{key}__gt": last}), key)
            self.next = Cursor(True, last) if is_behind else None
        self.display_page_controls = (
            True  # only now: the browsable API also renders errors, which have no links
        )
        return rows

    def key_of(self, row: Any) -> int:
        """Return the key of a row."""
        key: int = getattr(row, self.key)
        return key

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"next": self._link(self.next), "previous": self._link(self.previous), "results": data}
        )

    def to_html(self) -> str:
        links = {"previous_url": self._link(self.previous), "next_url": self._link(self.next)}
        return loader.get_template(self.template).render(links)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        address = "https://shop.example/…?cursor="
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link
                | {
                    "description": "The next page. Null on the last page.",
                    "example": address + str(Cursor(True, 1042)),
                },
                "previous": link
                | {
                    "description": "The previous page. Null on the first page.",
                    "example": address + str(Cursor(False, 993)),
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Where the page starts. Taken from the `next` or `previous` link.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": f"Rows per page: {PAGE_SIZE} by default, at most {MAX_PAGE_SIZE}.",
                "schema": {"type": "integer", "minimum": 1, "default": PAGE_SIZE},
            },
        ]

    def _link(self, cursor: Cursor | None) -> str | None:
        address = self.request.build_absolute_uri()
        return replace_query_param(address, "cursor", str(cursor)) if cursor else None


def _is_any(queryset: QuerySet[Any], order: str) -> bool:
    # Ordered, so that PostgreSQL uses the index: otherwise it may scan the whole table for the first match.
    return queryset.order_by(order).values_list(order.removeprefix("-")).first() is not None


def parse_cursor(request: Request) -> Cursor | None:
    """Return the requested cursor, or None. Raises ValidationError."""
    given = request.query_params.get("cursor")
    if not given:
        return None
    try:
        return Cursor.parse(given)
    except ValueError:
        message = "This cursor is not valid. Start again without a cursor."
        raise ValidationError({"cursor": message}) from None


def parse_page_size(request: Request, maximum: int = MAX_PAGE_SIZE) -> int:
    """Return the requested number of rows per page, up to the maximum. Raises ValidationError."""
    given = request.query_params.get("page_size", str(PAGE_SIZE))
    if not re.fullmatch(r"0*[1-9][0-9]*", given):
        raise ValidationError({"page_size": f"Send a whole number from 1 to {maximum}."})
    # Check the length first: int() refuses thousands of digits.
    return maximum if len(given) > 9 else min(int(given), maximum)
