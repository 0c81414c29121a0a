"""A channel that no module of ours has: text messages, kept in a list. It declares nothing that it need not."""

from typing import ClassVar

from campaigns.channels.base import AddressColumns, Channel, OutgoingMessage, Part
from campaigns.models import Delivery


class Sms(Channel):
    """Text messages to the phone number of a customer."""

    key = "text_message"
    noun = "a text message"
    parts = (Part("text", "Text", required="Write the text message.", max_length=480),)
    address = AddressColumns("phone number", "phone", compared="phone")

    sent: ClassVar[list[tuple[str, str]]] = []

    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        self.sent.append((delivery.customer.phone, message.text.strip()))
