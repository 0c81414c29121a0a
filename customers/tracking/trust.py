"""Who may say what: the key of a server is secret, the key of a browser is known to everybody.

What a browser says of an existing customer id counts if the shop's server has signed the id (``context.userHash``),
if the browser belongs to that customer already, or if the source allows it. Otherwise the message is the visitor's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from customers.claims import Id, Place, lead
from customers.identity import ANONYMOUS_ID, CUSTOMER_ID
from customers.models import Source
from customers.records import Refused

from . import sources
from .messages import Message


@dataclass(frozen=True, slots=True)
class Trusted:
    """A message with the customer id that counts, if any.

    ``by_server``: its contact data count, and join. ``is_signed``: the customer is who it says. ``orders_count``: what
    it says of orders is no draft; a signature proves who the customer is, not what they paid.
    """

    message: Message
    by_server: bool
    is_signed: bool
    orders_count: bool


class Judge:
    """Judges messages in the order in which they came: an id is new to the first that names it."""

    def __init__(self, messages: Sequence[tuple[Source, Message]]) -> None:
        of_browsers = [message for source, message in messages if source.is_browser and message.user_id]
        self._places: Mapping[Id, Place] = lead(
            {Id(CUSTOMER_ID, one.user_id) for one in of_browsers}
            | {Id(ANONYMOUS_ID, one.anonymous_id) for one in of_browsers if one.anonymous_id}
        )
        self._met: set[str] = set()
        self._pairs: set[tuple[str, str]] = set()

    def judge(self, source: Source, message: Message) -> Trusted:
        """Tell how far a message is trusted; raise Refused where it does not say which browser it is from."""
        if not source.is_browser:
            self._note(message)
            return Trusted(message, by_server=True, is_signed=True, orders_count=True)
        signature = message.context.get("userHash")
        is_signed = source.allow_unsigned_joins or (
            bool(message.user_id) and sources.has_signed(source, message.user_id, signature)
        )
        if message.user_id and not is_signed:
            if not message.anonymous_id:
                raise Refused(
                    "userId: a browser names it along with its anonymousId, or with context.userHash"
                )
            if not self._may_name(message):
                message = replace(message, user_id="")
        self._note(message)
        return Trusted(
            message, by_server=False, is_signed=is_signed, orders_count=source.allow_unsigned_joins
        )

    def _may_name(self, message: Message) -> bool:
        if (message.user_id, message.anonymous_id) in self._pairs:
            return True
        customer = self._places.get(Id(CUSTOMER_ID, message.user_id))
        if customer is None:
            return message.user_id not in self._met
        visitor = self._places.get(Id(ANONYMOUS_ID, message.anonymous_id))
        return visitor is not None and visitor.customer == customer.customer

    def _note(self, message: Message) -> None:
        if message.user_id:
            self._met.add(message.user_id)
            if message.anonymous_id:
                self._pairs.add((message.user_id, message.anonymous_id))
