"""The links of messages: signed, so that nobody can make one up, lead elsewhere with it, or act for somebody else.

A message leads to the shop's own hosts and to those that its template links, nowhere else: asked when a link is
signed, and again when it is followed.

Its clicks are what this module alone writes of a ``Delivery``.
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

# Each kind of link has its own signature: one is never taken for the other.
_CLICK: Final = "campaigns.click"
_UNSUBSCRIBE: Final = "campaigns.unsubscribe"
_CONFIRM: Final = "campaigns.confirm"
_AUTHORED: Final = "authored"

_WEB_PAGE: Final = re.compile("https?://", re.IGNORECASE)
MAX_TRACKED_URL_LENGTH: Final = (
    1_500  # characters of an address: signed, it still is one that every program follows
)


class InvalidLink(ValueError):
    """Not a link of ours, or not all of it."""


class ForeignLink(InvalidLink):
    """A link of ours to a page that is not the shop's, and that no author has linked."""


@dataclass(frozen=True)
class ClickedLink:
    """What the link of a message says: which message, and where it leads."""

    token: UUID
    url: str


def click_url(delivery: Delivery, url: str) -> str:
    """Return the address by which a message leads to a page of the web, and we hear of it.

    Nothing for a page that neither is the shop's nor is linked by the template. What is no page of the web
    (``mailto:``, ``tel:``), goes through us already or is very long stays as it is.
    """
    if not _WEB_PAGE.match(url) or url.startswith(_address("campaigns-click", "")):
        return url
    if not is_allowed(url, delivery.step):
        return ""
    if len(url) > MAX_TRACKED_URL_LENGTH:
        return url
    told = [delivery.token.hex, url]
    # What the author linked stays linked when the template is edited or gone: the signature says so.
    return _address(
        "campaigns-click", _sign(_CLICK, told if link_hosts.is_own_url(url) else [*told, _AUTHORED])
    )


def is_allowed(url: str, step: Step) -> bool:
    """Return whether a message of a step may lead to a page of the web."""
    return link_hosts.is_allowed(url, *step_templates(step))


def step_templates(step: Step) -> tuple[str, ...]:
    """Return what the author of a step has written, with what staff have filled in."""
    answers = step.campaign.answers.values() if step.campaign_id else ()
    return step.subject, step.text, step.html, step.url, *map(str, answers)


def unsubscribe_url(delivery: Delivery) -> str:
    """Give the address that ends the newsletter for the customer; it outlives the campaign."""
    return _address("campaigns-unsubscribe", _sign(_UNSUBSCRIBE, delivery.customer_id))


def confirmation_url(token: UUID) -> str:
    """Return the address at which an address confirms that it wants the newsletter."""
    return _address("campaigns-confirm", _sign(_CONFIRM, token.hex))


def unsubscribe_headers(delivery: Delivery) -> dict[str, str]:
    """Give the headers by which mail programs offer to unsubscribe with one click (RFC 8058)."""
    return {
        "List-Unsubscribe": f"<{unsubscribe_url(delivery)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def verify_click(signed: str) -> ClickedLink:
    """Read what ``click_url`` signed; raises BadLink, or LeadsElsewhere for a page that no author has linked."""
    token, url, *more = _verify(_CLICK, signed)
    click = ClickedLink(UUID(token), url)
    if not link_hosts.is_own_url(url) and not (more == [_AUTHORED] and link_hosts.host_of(url)):
        # Signed before the host was asked for.
        delivery = Delivery.objects.select_related("step").filter(token=click.token).first()
        if delivery is None or not link_hosts.is_authored(url, *step_templates(delivery.step)):
            raise ForeignLink
    return click


def verify_unsubscribe(signed: str) -> int:
    """Read the customer's key that ``unsubscribe_url`` signed; raises BadLink."""
    return int(_verify(_UNSUBSCRIBE, signed))


def verify_confirmation(signed: str) -> UUID:
    """Read the token that ``confirm_url`` signed; raises BadLink."""
    return UUID(_verify(_CONFIRM, signed))


def record_click(click: ClickedLink, at: datetime) -> None:
    """Count a click; of a message that is gone, or was written to a file, none."""
    Delivery.objects.filter(token=click.token).exclude(state=Delivery.State.WRITTEN).update(
        clicks=F("clicks") + 1, clicked_at=Coalesce("clicked_at", Value(at))
    )


def _address(view: str, signed: str) -> str:
    return f"{settings.PUBLIC_URL}{_path(view)}{signed}"


@cache  # looked up for each link, it would take longer than signing it
def _path(view: str) -> str:
    return reverse(view)


def _sign(kind: str, told: Any) -> str:
    return Signer(salt=kind).sign_object(told)


def _verify(kind: str, signed: str) -> Any:
    try:
        return Signer(salt=kind).unsign_object(signed)
    except (BadSignature, ValueError) as error:
        raise InvalidLink from error
