"""Signed links of messages, so that nobody can forge one, redirect it or act for another customer.

A message links only to the shop's hosts and to those in its template. This is checked when a link is signed, and again
when it is followed.

The only writer of the clicks of ``Delivery``.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.urls import reverse

from campaigns.models import Delivery, Step

from . import link_hosts

# Each kind of link has its own salt, so one cannot be used as another.
_CLICK: Final = "campaigns.click"
_UNSUBSCRIBE: Final = "campaigns.unsubscribe"
_CONFIRM: Final = "campaigns.confirm"
_AUTHORED: Final = "authored"

_WEB_PAGE: Final = re.compile("https?://", re.IGNORECASE)
MAX_TRACKED_URL_LENGTH: Final = 1_500  # characters, so that every program follows the signed URL, too


class InvalidLink(ValueError):
    """The signature is wrong or incomplete."""


class ForeignLink(InvalidLink):
    """The signature is right, but the target is neither the shop's nor linked by an author."""


@dataclass(frozen=True)
class ClickedLink:
    """The message and the target of a link."""

    token: UUID
    url: str


def click_url(delivery: Delivery, url: str) -> str:
    """Return the tracked URL of a link.

    Empty for a target that is neither the shop's nor linked by the template. Other schemes (``mailto:``, ``tel:``),
    tracked URLs and very long URLs are returned unchanged.
    """
    if not _WEB_PAGE.match(url) or url.startswith(_signed_url("campaigns-click", "")):
        return url
    if not is_allowed(url, delivery.step):
        return ""
    if len(url) > MAX_TRACKED_URL_LENGTH:
        return url
    signed = [delivery.token.hex, url]
    if not link_hosts.is_own_url(url):
        signed.append(_AUTHORED)  # the link stays valid after the template is edited or deleted
    return _signed_url("campaigns-click", _sign(_CLICK, signed))


def is_allowed(url: str, step: Step) -> bool:
    """Return whether a message of a step may link to a URL."""
    return link_hosts.is_allowed(url, *step_templates(step))


def step_templates(step: Step) -> tuple[str, ...]:
    """Return the templates of a step and the answers of staff."""
    answers = step.campaign.answers.values() if step.campaign_id else ()
    return step.subject, step.text, step.html, step.url, *map(str, answers)


def unsubscribe_url(delivery: Delivery) -> str:
    """Return the unsubscribe URL of the customer. It stays valid after the campaign."""
    return _signed_url("campaigns-unsubscribe", _sign(_UNSUBSCRIBE, delivery.customer_id))


def confirmation_url(token: UUID) -> str:
    """Return the URL that confirms a subscription."""
    return _signed_url("campaigns-confirm", _sign(_CONFIRM, token.hex))


def unsubscribe_headers(delivery: Delivery) -> dict[str, str]:
    """Return the headers for one-click unsubscribing (RFC 8058)."""
    return {
        "List-Unsubscribe": f"<{unsubscribe_url(delivery)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def verify_click(signed: str) -> ClickedLink:
    """Return what ``click_url`` signed. Raises InvalidLink, or ForeignLink for a target that no author has linked."""
    token, url, *marks = _verify(_CLICK, signed)
    click = ClickedLink(UUID(token), url)
    if not link_hosts.is_own_url(url) and not (marks == [_AUTHORED] and link_hosts.host_of(url)):
        # A link that was signed before authored links were marked.
        delivery = Delivery.objects.select_related("step").filter(token=click.token).first()
        if delivery is None or not link_hosts.is_authored(url, *step_templates(delivery.step)):
            raise ForeignLink
    return click


def verify_unsubscribe(signed: str) -> int:
    """Return the customer's key. Raises InvalidLink."""
    return int(_verify(_UNSUBSCRIBE, signed))


def verify_confirmation(signed: str) -> UUID:
    """Return the token of a confirmation request. Raises InvalidLink."""
    return UUID(_verify(_CONFIRM, signed))


def record_click(click: ClickedLink, at: datetime) -> None:
    """Count a click, unless the message is deleted or was written to a file."""
    Delivery.objects.filter(token=click.token).exclude(state=Delivery.State.WRITTEN).update(
        clicks=F("clicks") + 1, clicked_at=Coalesce("clicked_at", Value(at))
    )


def _signed_url(view: str, signed: str) -> str:
    return f"{settings.PUBLIC_URL}{_path(view)}{signed}"


@cache  # reversing takes longer than signing
def _path(view: str) -> str:
    return reverse(view)


def _sign(salt: str, value: Any) -> str:
    return Signer(salt=salt).sign_object(value)


def _verify(salt: str, signed: str) -> Any:
    try:
        return Signer(salt=salt).unsign_object(signed)
    except (BadSignature, ValueError) as error:
        raise InvalidLink from error
