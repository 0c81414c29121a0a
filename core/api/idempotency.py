"""Sending twice: a POST with an ``Idempotency-Key`` is done once, however often it is sent.

As in the draft of the IETF, draft-ietf-httpapi-idempotency-key-header. What a request does and the answer that is
kept of it are one transaction: cut off at any moment, it has done both or nothing.
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core.models import IdempotentResponse

from . import idempotent_responses
from .authentication import caller_id
from .errors import ErrorSerializer

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
STORED_HEADERS: Final = ("Location", "ETag")
MAX_KEY_LENGTH: Final = 255
_KEY: Final = re.compile(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}")

IDEMPOTENCY_ERROR_RESPONSES = {
    409: OpenApiResponse(ErrorSerializer, "The same request is being done right now; `Retry-After`."),
    422: OpenApiResponse(ErrorSerializer, f"Another request was sent under this `{KEY_HEADER}`."),
}

Handler = Callable[..., Response]


class StillRunning(APIException):
    """The same request has not been answered yet."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "still_running"
    default_detail = "The same request is being done right now; send it again in a moment."
    wait = 1  # the framework makes it a Retry-After


class KeyReused(APIException):
    """One key, two requests."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key_reused"
    default_detail = f"Another request was sent under this {KEY_HEADER}; make a new key for each request."


def idempotent(handler: Handler) -> Handler:
    """Let a view's ``post`` honour the header; stands next to the method, below what describes it."""

    @extend_schema(
        parameters=[
            OpenApiParameter(
                KEY_HEADER,
                {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"},
                OpenApiParameter.HEADER,
                description="Such as a UUID: sent again under the same key within a day, the request is not done again,"
                f" and the answer is the same, with `{REPLAYED_HEADER}: true`.",
            )
        ]
    )
    @wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = _key_of(request)
        if key is None:
            return handler(view, request, *args, **kwargs)
        try:
            kept = idempotent_responses.claim_request(
                _name(request, key), _digest(request), datetime.now(UTC)
            )
            if kept.status is not None:
                return _again(kept)
            return _answer(kept, view, lambda: handler(view, request, *args, **kwargs))
        except idempotent_responses.KeyAlreadyUsed:
            raise KeyReused from None
        except idempotent_responses.RequestRunning:
            raise StillRunning from None

    return post


def _answer(kept: IdempotentResponse, view: Any, do: Callable[[], Response]) -> Response:
    """Do what was asked and keep the answer; what failed by a fault of ours can be sent again."""
    try:
        try:
            with transaction.atomic():
                response = do()
                _keep(kept, response)
        except idempotent_responses.RequestRunning:
            raise
        except Exception as error:
            response = view.handle_exception(error)
            _keep(kept, response)
    except BaseException:  # also where the server ends a request that takes too long
        idempotent_responses.release_request(kept)
        raise
    return response


def _keep(kept: IdempotentResponse, response: Response) -> None:
    if response.status_code >= 500:
        idempotent_responses.release_request(kept)
        return
    headers = {name: response[name] for name in STORED_HEADERS if name in response}
    idempotent_responses.store_response(
        kept, response.status_code, headers, JSONRenderer().render(response.data).decode()
    )


def _again(kept: IdempotentResponse) -> Response:
    body = json.loads(kept.body) if kept.body else None
    return Response(body, kept.status, headers={**kept.headers, REPLAYED_HEADER: "true"})


def _key_of(request: Request) -> str | None:
    """Read the header: bare, as most send it, or in quotes, as the draft has it."""
    given = request.headers.get(KEY_HEADER)
    if given is None:
        return None
    given = given.strip()
    if len(given) > 1 and given[0] == given[-1] == '"':
        given = given[1:-1]
    if not _KEY.fullmatch(given):
        raise ValidationError(
            {KEY_HEADER: f"Send 1 to {MAX_KEY_LENGTH} ASCII characters without spaces, such as a UUID."}
        )
    return given


def _name(request: Request, key: str) -> str:
    return hashlib.sha256(json.dumps([caller_id(request), request.path, key]).encode()).hexdigest()


def _digest(request: Request) -> str:
    """Digest what is asked: members of objects may come in another order, all else is another request."""
    try:
        asked = json.dumps([request.META.get("QUERY_STRING", ""), request.data], sort_keys=True, default=str)
    except RecursionError:
        raise ParseError("This is not valid JSON: nested too deeply.") from None
    return hashlib.sha256(asked.encode()).hexdigest()
