"""Audiences for ads: staff download their members as a file, and nothing is sent."""

from campaigns.models import Delivery

from .base import Channel, OutgoingMessage, Undeliverable
from .registry import register


@register
class Audience(Channel):
    """A step that sends nothing; ``campaigns.audiences.exports`` writes the file."""

    key = "audience"
    noun = "an audience for ads"
    parts = ()
    address = None
    sends_messages = False

    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        """Raise Undeliverable."""
        raise Undeliverable("An audience is downloaded, and not sent.")
