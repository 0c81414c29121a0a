"""Whole lists as CSV or NDJSON: sent while they are read, in constant memory, compressed for who asks for that."""

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
    """Stands for CSV where the format of the answer is chosen; ``stream`` writes it."""

    media_type = "text/csv"
    format = "csv"


class NdjsonRenderer(BaseRenderer):
    """Stands for a JSON object a line where the format of the answer is chosen; ``stream`` writes it."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class StreamingView(APIView):
    """Answers with a page as JSON, or with all rows as CSV or NDJSON."""

    renderer_classes: Sequence[Any] = [*api_settings.DEFAULT_RENDERER_CLASSES, CsvRenderer, NdjsonRenderer]

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Say what there is as JSON, too."""
        self._answer_in_json()
        return super().options(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """Say what is wrong as JSON, in the one shape of errors, whatever was asked for."""
        if is_streamed(self.request):
            self._answer_in_json()
        return super().handle_exception(exc)

    def _answer_in_json(self) -> None:
        self.request.accepted_renderer = JSONRenderer()
        self.request.accepted_media_type = JSONRenderer.media_type


def is_streamed(request: Request) -> bool:
    """Tell whether all rows are asked for, by ``?format=`` or by ``Accept``."""
    return getattr(getattr(request, "accepted_renderer", None), "format", "") in _WRITERS


def stream_rows(
    request: Request, name: str, columns: tuple[str, ...], shares: RowBatches
) -> StreamingHttpResponse:
    """Send rows, share by share. The first is read at once: what is wrong with it can still be answered."""
    shown = request.accepted_renderer
    rest = iter(shares)
    begun = chain(list(islice(rest, 1)), rest)
    response = StreamingHttpResponse(
        _WRITERS[shown.format](columns, begun), content_type=f"{shown.media_type}; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.{shown.format}"'
    return _sent(request, response)


@gzip_page
def _sent(request: Request, response: StreamingHttpResponse) -> StreamingHttpResponse:
    return response


def _as_csv(columns: tuple[str, ...], shares: RowBatches) -> Iterator[str]:
    yield csv_text([columns])
    for share in shares:
        yield csv_text(["" if value is None else str(value) for value in row] for row in share)


def _as_ndjson(columns: tuple[str, ...], shares: RowBatches) -> Iterator[str]:
    for share in shares:
        yield "".join(_encode(dict(zip(columns, row, strict=True))) + "\n" for row in share)


_encode = json.JSONEncoder(ensure_ascii=False).encode
_WRITERS: dict[str, Callable[[tuple[str, ...], RowBatches], Iterator[str]]] = {
    CsvRenderer.format: _as_csv,
    NdjsonRenderer.format: _as_ndjson,
}


def streaming_responses(page: Any, rows: Mapping[str, str], errors: Mapping[int, Any]) -> dict[Any, Any]:
    """Describe the answers: a page as JSON, all rows otherwise; errors are JSON always.

    ``rows`` gives an example of each row's values by its columns.
    """
    header, line = ",".join(rows), ",".join(rows.values())
    return {
        (200, "application/json"): page,
        (200, CsvRenderer.media_type): OpenApiResponse(
            OpenApiTypes.STR, f"All of them, a row each: `{header}`, such as `{line}`."
        ),
        (200, NdjsonRenderer.media_type): OpenApiResponse(
            OpenApiTypes.STR, "All of them, a JSON object each, with the same names."
        ),
        **{(status, "application/json"): error for status, error in errors.items()},
    }
