"""Messages to another system, such as a letter printer: one signed POST each, by Standard Webhooks.

As in ``segments.webhooks``, addresses are checked, requests time out, and redirects are not followed.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

from django.conf import settings
from django.utils.crypto import salted_hmac

from campaigns.models import Delivery
from segments.webhooks import target_addresses
from segments.webhooks.payload import format_instant
from segments.webhooks.signed_requests import EndpointConnection, Response, SignedRequest
from segments.webhooks.target_addresses import InvalidAddress

from .base import Channel, Consent, OutgoingMessage, Part, PartKind, TemporaryFailure, Undeliverable
from .registry import register

MESSAGE_TYPE: Final = "campaign.message"
RETRYABLE_STATUSES: Final = (408, 409, 425, 429)


@register
class Webhook(Channel):
    """Messages to the URL of a step. The receiving system decides about consent and delivery."""

    key = "webhook"
    noun = "a webhook"
    parts = (
        Part("subject", "Subject", PartKind.LINE),
        Part("text", "Text"),
        Part(
            "url",
            "URL",
            PartKind.URL,
            required="Enter the URL that receives the message.",
            help_text="The URL that receives the message.",
        ),
    )
    address = None
    consent = Consent.NOT_NEEDED
    obeys_suppressions = False
    counts_towards_cap = False
    tracks_links = False  # programs read it

    def __init__(self) -> None:
        self._connections: dict[str, EndpointConnection] = {}
        self._unreachable: dict[str, str] = {}

    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        """Post the message. Raises TemporaryFailure or Undeliverable, depending on the response."""
        url = message.url
        if url in self._unreachable:  # other messages to it would only time out, too
            raise TemporaryFailure(self._unreachable[url])
        try:
            secrets = signing_secrets(url)
        except InvalidAddress as error:
            raise Undeliverable(f"The URL is not allowed: {error}.") from error
        connection = self._connections.setdefault(url, EndpointConnection(url))
        response = connection.post(
            SignedRequest(f"msg_{delivery.token.hex}", _body(delivery, message), secrets)
        )
        if response.problem:
            if response.status is None:
                self._unreachable[url] = response.problem
            raise _delivery_error(response)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def signing_secrets(url: str) -> Sequence[str]:
    """Return the secrets that messages to a URL are signed with: the current one first.

    Each host has its own, so none can sign for another. Raises InvalidAddress.
    """
    host = target_addresses.parse_target(url).authority
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (salted_hmac("campaigns.webhook", host, key, algorithm="sha256").digest() for key in keys)
    return [f"whsec_{b64encode(digest).decode()}" for digest in digests]


def _body(delivery: Delivery, message: OutgoingMessage) -> str:
    payload: dict[str, Any] = {
        "type": MESSAGE_TYPE,
        "timestamp": format_instant(delivery.planned_for),
        "data": {
            "campaign": delivery.campaign.name,
            "segment": delivery.campaign.segment.slug,
            "step": delivery.step.number,
            "customer_id": delivery.customer.customer_id,
            "subject": message.subject,
            "text": message.text.strip(),
            "html": message.html,
        },
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _delivery_error(response: Response) -> Exception:
    """Return TemporaryFailure if another attempt may succeed, else Undeliverable."""
    refused = response.status is not None and 300 <= response.status < 500
    if refused and response.status not in RETRYABLE_STATUSES:
        return Undeliverable(response.problem)
    return TemporaryFailure(response.problem)
