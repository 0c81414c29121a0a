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
        self._lines: dict[str, EndpointConnection] = {}
        self._unreached: dict[str, str] = {}

    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        """Post the message. Raises TemporaryFailure or Undeliverable, depending on the response."""
        url = message.url
        if url in self._unreached:  # the next ones would wait as long
            raise TemporaryFailure(self._unreached[url])
        try:
            secrets = signing_secrets(url)
        except InvalidAddress as error:
            raise Undeliverable(f"The URL is not allowed: {error}.") from error
        line = self._lines.setdefault(url, EndpointConnection(url))
        answer = line.post(SignedRequest(f"msg_{delivery.token.hex}", _body(delivery, message), secrets))
        if answer.problem:
            if answer.status is None:
                self._unreached[url] = answer.problem
            raise _delivery_error(answer)

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()


def signing_secrets(url: str) -> Sequence[str]:
    """Return the secrets that messages to a URL are signed with: the current one first.

    Each host has its own, so none can sign for another. Raises InvalidAddress.
    """
    host = target_addresses.parse_target(url).authority
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = (salted_hmac("campaigns.webhook", host, key, algorithm="sha256").digest() for key in keys)
    return [f"whsec_{b64encode(one).decode()}" for one in digests]


def _body(delivery: Delivery, message: OutgoingMessage) -> str:
    said: dict[str, Any] = {
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
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _delivery_error(answer: Response) -> Exception:
    """Return TemporaryFailure if another attempt may succeed, else Undeliverable."""
    refused = answer.status is not None and 300 <= answer.status < 500
    if refused and answer.status not in RETRYABLE_STATUSES:
        return Undeliverable(answer.problem)
    return TemporaryFailure(answer.problem)
