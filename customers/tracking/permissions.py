"""Who may say what: the key of a server is secret, the key of a browser is known to everybody.

A customer id that a browser names counts if the shop's server has signed it (``context.userHash``), or if the source
allows it. Otherwise the message is the visitor's, and the id is a claim: it links the browser while nothing trusted has
named the id (see ``customers.identity.unsigned_links``).
"""

from dataclasses import dataclass, replace

from customers.models import Source
from customers.rows.cells import InvalidRow

from . import sources
from .messages import TrackedMessage


@dataclass(frozen=True, slots=True)
class AuthorizedMessage:
    """A message with the customer id that counts, if any, or else the one that is ``claimed``.

    ``source`` sent it. ``by_server``: its contact data count, and join. ``is_signed``: the customer is who it says.
    ``orders_count``: what it says of orders is no draft; a signature proves who the customer is, not what they paid.
    """

    message: TrackedMessage
    by_server: bool
    is_signed: bool
    orders_count: bool
    source: int
    claimed: str = ""


def authorize(source: Source, message: TrackedMessage) -> AuthorizedMessage:
    """Tell how far a message is trusted; raise Refused where it does not say which browser it is from."""
    if not source.is_browser:
        return AuthorizedMessage(message, by_server=True, is_signed=True, orders_count=True, source=source.pk)
    signature = message.context.get("userHash")
    is_signed = source.allow_unsigned_joins or (
        bool(message.user_id) and sources.is_signature_valid(source, message.user_id, signature)
    )
    of_browser = AuthorizedMessage(
        message,
        by_server=False,
        is_signed=is_signed,
        orders_count=source.allow_unsigned_joins,
        source=source.pk,
    )
    if is_signed or not message.user_id:
        return of_browser
    if not message.anonymous_id:
        raise InvalidRow("userId: a browser names it along with its anonymousId, or with context.userHash")
    return replace(of_browser, message=replace(message, user_id=""), claimed=message.user_id)
