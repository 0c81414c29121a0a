"""``Idempotency-Key``: a POST with this header is executed once, however often it is sent.

Follows draft-ietf-httpapi-idempotency-key-header of the IETF. A request and its stored response are one transaction,
so a crash leaves both or neither.
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
    409: OpenApiResponse(
        ErrorSerializer, "The same request is still running. `Retry-After` says when to send it again."
    ),
    422: OpenApiResponse(ErrorSerializer, f"Another request was sent with this `{KEY_HEADER}`."),
}

Handler = Callable[..., Response]


class StillRunning(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "still_running"
    default_detail = "The same request is still running. Send it again in a moment."
    wait = 1  # REST framework sends it as Retry-After


class KeyReused(APIException):
    """Two different requests have the same key."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "key_reused"
    default_detail = f"Another request was sent with this {KEY_HEADER}. Use a new key for each request."


def idempotent(handler: Handler) -> Handler:
    """Make a view's ``post`` idempotent. Apply it first, below ``extend_schema``."""

    @extend_schema(
        parameters=[
            OpenApiParameter(
                KEY_HEADER,
                {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"},
                OpenApiParameter.HEADER,
                description="Such as a UUID. If the same request is sent again with this key within a day, it is not"
                f" executed again. The response is the stored one, with `{REPLAYED_HEADER}: true`.",
            )
        ]
    )
    @wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = _key_of(request)
        if key is None:
            return handler(view, request, *args, **kwargs)
        try:
            stored = idempotent_responses.claim_request(
                _name(request, key), _digest(request), datetime.now(UTC)
            )
            if stored.status is not None:
                return _replay(stored)
            return _execute(stored, view, lambda: handler(view, request, *args, **kwargs))
        except idempotent_responses.KeyAlreadyUsed:
            raise KeyReused from None
        except idempotent_responses.RequestRunning:
            raise StillRunning from None

    return post


def _execute(stored: IdempotentResponse, view: Any, do: Callable[[], Response]) -> Response:
    """Execute a request and store its response. After a server error, it can be sent again."""
    try:
        try:
            with transaction.atomic():
                response = do()
                _store(stored, response)
        except idempotent_responses.RequestRunning:
            raise
        except Exception as error:
            response = view.handle_exception(error)
            _store(stored, response)
    except BaseException:  # also when the server ends a request that takes too long
        idempotent_responses.release_request(stored)
        raise
    return response


def _store(stored: IdempotentResponse, response: Response) -> None:
    if response.status_code >= 500:
        idempotent_responses.release_request(stored)
        return
    headers = {name: response[name] for name in STORED_HEADERS if name in response}
    idempotent_responses.store_response(
        stored, response.status_code, headers, JSONRenderer().render(response.data).decode()
    )


def _replay(stored: IdempotentResponse) -> Response:
    body = json.loads(stored.body) if stored.body else None
    return Response(body, stored.status, headers={**stored.headers, REPLAYED_HEADER: "true"})


def _key_of(request: Request) -> str | None:
    """Return the key: bare, as most clients send it, or quoted, as in the draft."""
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
    """Return a digest of the query and the body. The order of object members does not matter."""
    try:
        asked = json.dumps([request.META.get("QUERY_STRING", ""), request.data], sort_keys=True, default=str)
    except RecursionError:
        raise ParseError("This is not valid JSON: nested too deeply.") from None
    return hashlib.sha256(asked.encode()).hexdigest()
