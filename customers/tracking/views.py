"""Tracking endpoints: check the key and the body, store the body in the inbox, and respond."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from core.db import transactions
from core.http.client_ip import client_ip
from customers.models import Source
from customers.rows.cells import InvalidRow
from customers.rows.settings import shop_settings

from . import inbox, messages, rate_limits, request_body, sources
from .messages import BATCH, CALLS
from .request_body import RequestBody, RequestError

RETRY_AFTER_SECONDS = 5  # seconds
ALLOWED_HEADERS = ("authorization", "content-type", "content-encoding")
_HEADER = re.compile(r"[a-z0-9-]+")


@csrf_exempt
def receive(request: HttpRequest, call: str) -> HttpResponse:
    """Receive one request of a client of any origin."""
    try:
        response = _preflight(request) if request.method == "OPTIONS" else _receive(request, call)
    except RequestError as error:
        response = JsonResponse(
            {"code": error.code, "message": error.message, "errors": []}, status=error.status
        )
        if error.retry_after is not None:
            response["Retry-After"] = str(error.retry_after)
    response["Access-Control-Allow-Origin"] = "*"
    return response


def _preflight(request: HttpRequest) -> HttpResponse:
    """Allow all headers that a client asks for: new versions of SDKs add some, and none gives access to anything."""
    asked = _HEADER.findall(request.headers.get("Access-Control-Request-Headers", "").lower()[:1000])
    response = HttpResponse(status=204)
    response["Access-Control-Allow-Methods"] = "POST, OPTIONS"
    response["Access-Control-Allow-Headers"] = ", ".join(dict.fromkeys([*ALLOWED_HEADERS, *asked]))
    response["Vary"] = "Access-Control-Request-Headers"
    response["Access-Control-Max-Age"] = "86400"
    return response


def _receive(request: HttpRequest, address: str) -> HttpResponse:
    call = CALLS.get(address)
    if call is None:
        raise RequestError(
            404,
            "not_found",
            f"There is no endpoint /v1/{address[:20]}. The endpoints are: {', '.join(CALLS)}.",
        )
    if request.method != "POST":
        raise RequestError(405, "method_not_allowed", "Send messages with POST.")
    at = datetime.now(UTC)
    try:
        key = _key_of_header(request)
        source = _source_of_key(key) if key else None
        body = request_body.read_request_body(request)
        source = source or _source_of_key(_key_of_body(body.content))
        size = _count_messages(body, call, at)
        if wait := rate_limits.seconds_to_wait(source, size, len(body.text), client_ip(request), at):
            raise RequestError(429, "too_many_messages", f"Send again in {wait} seconds.", retry_after=wait)
        if size:
            inbox.store_batch(source, call, body, size, request.headers.get("User-Agent", ""), at)
        sources.record_use(source, at)
    except Error as error:
        if not transactions.is_transient_error(error):
            raise
        raise RequestError(
            503,
            "busy",
            "The database is busy or unavailable. Send the request again.",
            retry_after=RETRY_AFTER_SECONDS,
        ) from None
    return JsonResponse({"success": True})


def _key_of_header(request: HttpRequest) -> str:
    """Return the user name of HTTP Basic authentication; its password is ignored."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def _key_of_body(content: dict[str, Any]) -> str:
    key = content.get("writeKey")
    return key if isinstance(key, str) else ""


def _source_of_key(key: str) -> Source:
    source = sources.find_by_key(key) if key else None
    if source is None:
        raise RequestError(401, "bad_key", "The write key is missing, wrong or revoked.")
    return source


def _count_messages(body: RequestBody, call: str, at: datetime) -> int:
    """Return how many messages a body has. Raises RequestError for a single message that is invalid."""
    if call == BATCH:
        return len(request_body.messages_of_batch(body.content))
    try:
        messages.check_size(body.content)
        messages.parse_message(body.content, call, at, None, shop_settings())
    except (InvalidRow, RecursionError) as error:
        raise RequestError(400, "invalid_message", str(error)) from None
    return 1
