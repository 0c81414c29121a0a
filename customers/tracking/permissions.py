"""What a source may say: the key of a server is secret, while anybody can read the key of a browser.

A customer id from a browser counts if the shop's server has signed it (``context.userHash``), or if the source trusts
unsigned ids. Otherwise the message belongs to the visitor, and the unsigned id links the browser only until a trusted
source names the id (see ``customers.identity.unsigned_links``).
"""

from typing import NamedTuple

from customers.models import Source
from customers.rows.cells import InvalidRow

from . import sources
from .messages import TrackedMessage


class AuthorizedMessage(NamedTuple):
    """A message with what it may say. Its ``user_id`` counts; an id that does not count is ``unsigned_id``.

    ``by_server``: its contact data overwrites other data and merges profiles. ``is_signed``: the customer id is proven.
    ``may_confirm_orders``: its orders are not drafts; a signature proves who the customer is, not what they paid.
    """

    message: TrackedMessage
    by_server: bool
    is_signed: bool
    may_confirm_orders: bool
    source_id: int
    unsigned_id: str = ""


def authorize(source: Source, message: TrackedMessage) -> AuthorizedMessage:
    """Return a message with what it may say. Raises InvalidRow if an unsigned one does not name its browser."""
    if not source.is_browser:
        return AuthorizedMessage(
            message, by_server=True, is_signed=True, may_confirm_orders=True, source_id=source.pk
        )
    signature = message.context.get("userHash")
    is_signed = source.trusts_unsigned_ids or (
        bool(message.user_id) and sources.is_signature_valid(source, message.user_id, signature)
    )
    from_browser = AuthorizedMessage(
        message,
        by_server=False,
        is_signed=is_signed,
        may_confirm_orders=source.trusts_unsigned_ids,
        source_id=source.pk,
    )
    if is_signed or not message.user_id:
        return from_browser
    if not message.anonymous_id:
        raise InvalidRow("userId: with the key of a browser, send anonymousId or context.userHash, too")
    return from_browser._replace(message=message._replace(user_id=""), unsigned_id=message.user_id)
