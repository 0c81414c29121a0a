"""Whole lists as CSV or NDJSON: streamed in constant memory, and compressed if the client accepts it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from django.http import StreamingHttpResponse
from django.views.decorators.gzip import gzip_page
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from core.values.csv_injection import csv_text

RowBatches = Iterable[list[tuple[Any, ...]]]


class CsvRenderer(BaseRenderer):
    """Selects CSV in content negotiation. ``stream_rows`` writes it."""

    media_type = "text/csv"
    format = "csv"


class NdjsonRenderer(BaseRenderer):
    """Selects NDJSON in content negotiation. ``stream_rows`` writes it."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class StreamingView(APIView):
    """Returns a page as JSON, or all rows as CSV or NDJSON."""

    renderer_classes: Sequence[Any] = [*api_settings.DEFAULT_RENDERER_CLASSES, CsvRenderer, NdjsonRenderer]

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Respond in JSON, whatever format was requested."""
        self._render_as_json()
        return super().options(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """Send errors as JSON, whatever format was requested."""
        if is_streamed(self.request):
            self._render_as_json()
        return super().handle_exception(exc)

    def _render_as_json(self) -> None:
        self.request.accepted_renderer = JSONRenderer()
        self.request.accepted_media_type = JSONRenderer.media_type


def is_streamed(request: Request) -> bool:
    """Return whether the client requests all rows, by ``?format=`` or ``Accept``."""
    return getattr(getattr(request, "accepted_renderer", None), "format", "") in _WRITERS


def stream_rows(
    request: Request, name: str, columns: tuple[str, ...], batches: RowBatches
) -> StreamingHttpResponse:
    """Stream rows in batches. The first batch is read at once, so that its errors still get an error response."""
    renderer = request.accepted_renderer
    rest = iter(batches)
    started = chain(list(islice(rest, 1)), rest)
    response = StreamingHttpResponse(
        _WRITERS[renderer.format](columns, started), content_type=f"{renderer.media_type}; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.{renderer.format}"'
    return _sent(request, response)


@gzip_page
def _sent(request: Request, response: StreamingHttpResponse) -> StreamingHttpResponse:
    return response


def _as_csv(columns: tuple[str, ...], batches: RowBatches) -> Iterator[str]:
    yield csv_text([columns])
    for batch in batches:
        yield csv_text(["" if value is None else str(value) for value in row] for row in batch)


def _as_ndjson(columns: tuple[str, ...], batches: RowBatches) -> Iterator[str]:
    for batch in batches:
        yield "".join(_encode(dict(zip(columns, row, strict=True))) + "\n" for row in batch)


_encode = json.JSONEncoder(ensure_ascii=False).encode
_WRITERS: dict[str, Callable[[tuple[str, ...], RowBatches], Iterator[str]]] = {
    CsvRenderer.format: _as_csv,
    NdjsonRenderer.format: _as_ndjson,
}


def streaming_responses(page: Any, rows: Mapping[str, str], errors: Mapping[int, Any]) -> dict[Any, Any]:
    """Return the responses for the OpenAPI schema: a page as JSON, or all rows. Errors are always JSON.

    ``rows`` maps each column to an example.
    """
    header, line = ",".join(rows), ",".join(rows.values())
    return {
        (200, "application/json"): page,
        (200, CsvRenderer.media_type): OpenApiResponse(
            OpenApiTypes.STR, f"All rows: `{header}`, such as `{line}`."
        ),
        (200, NdjsonRenderer.media_type): OpenApiResponse(
            OpenApiTypes.STR, "All rows, each a JSON object with the same names."
        ),
        **{(status, "application/json"): error for status, error in errors.items()},
    }
