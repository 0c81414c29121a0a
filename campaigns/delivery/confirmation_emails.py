"""Sends confirmation e-mails of the double opt-in. ``customers.tracking.double_opt_in`` keeps the requests."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from django.template.loader import render_to_string

from campaigns.channels.base import (
    ChannelUnavailable,
    NoMailbox,
    OutgoingMessage,
    TemporaryFailure,
    Undeliverable,
)
from campaigns.channels.colours import palette
from campaigns.channels.email import Email
from campaigns.links import signed_links
from core.mail import has_mail_server
from core.shop import shop
from customers.models import ConfirmationRequest
from customers.tracking import double_opt_in as requests

from . import bounces

log = structlog.get_logger(__name__)

CONFIRMATION_BATCH_SIZE: Final = 100
MAX_RUN_SECONDS: Final = 10.0  # far below the lease of a claim
UNAVAILABLE_PAUSE: Final = timedelta(minutes=1)


def send_confirmation_emails(at: datetime) -> int:
    """Send waiting confirmation e-mails if a mail server is set. Return how many requests were processed.

    The frequency cap does not count them. They wait while the mail server is unavailable.
    """
    if not has_mail_server() or not requests.has_due_requests(at):
        return 0
    due, claimed = requests.claim_due_requests(at, CONFIRMATION_BATCH_SIZE)
    started, channel = time.monotonic(), Email()
    try:
        for index, request in enumerate(claimed):
            if time.monotonic() - started > MAX_RUN_SECONDS:
                requests.release_requests(claimed[index:], at)
                break
            if not _send(channel, request, at):
                requests.release_requests(claimed[index + 1 :], at + UNAVAILABLE_PAUSE)
                break
    finally:
        channel.close()
    return due


def waits_for_mail_server() -> bool:
    """Return whether requests wait and no mail server is set."""
    return not has_mail_server() and requests.has_due_requests(datetime.now(UTC))


def _send(channel: Email, request: ConfirmationRequest, at: datetime) -> bool:
    """Send one message; return False if the mail server is unavailable."""
    try:
        channel.send_to_address(
            request.email, _message(request), request.token, {"Auto-Submitted": "auto-generated"}
        )
    except Undeliverable as error:
        requests.mark_failed(request, at, str(error), for_good=True)
        if isinstance(error, NoMailbox):
            bounces.suppress_address(request.email, at, str(error))
    except ChannelUnavailable as error:
        log.warning("confirmations_wait", error=str(error))
        # After the others, in case this message ends the connection.
        requests.release_requests([request], at + 2 * UNAVAILABLE_PAUSE)
        return False
    except TemporaryFailure as error:
        requests.mark_failed(request, at, str(error), for_good=False)
    except Exception as error:  # a bug must not stop the other messages
        log.exception("confirmation_could_not_be_sent", request=request.pk)
        requests.mark_failed(request, at, type(error).__name__, for_good=False)
    else:
        requests.mark_sent(request, at)
    return True


def _message(request: ConfirmationRequest) -> OutgoingMessage:
    """Return the message. It contains nothing from the browser, so it cannot be abused to send texts."""
    context = {
        "shop": {"name": shop().name, "url": shop().url, "address": shop().address},
        "url": signed_links.confirmation_url(request.token),
        "logo": shop().logo,
        "colours": {name.replace("-", "_"): value for name, value in palette(shop().colour).items()},
    }
    return OutgoingMessage(
        subject=f"Please confirm the newsletter of {shop().name}",
        text=render_to_string("campaigns/confirmation.txt", context),
        html=render_to_string("campaigns/confirmation.html", context),
    )
