"""Messages on the shop's pages: kept with the delivery until a page of the shop fetches them."""

from django.db.models import Q

from campaigns import links
from campaigns.models import Delivery

from .base import Channel, Message


class OnSite(Channel):
    """Messages to everybody who comes to the shop, visitors above all: nothing is sent to anybody."""

    def reaches(self) -> Q:
        """Ask nothing: whoever is on a page of the shop can be told something there."""
        return Q()

    def delivers(self) -> bool:
        """Return True: what is handed over is there."""
        return True

    def send(self, delivery: Delivery, message: Message) -> None:
        """Keep what is shown; whoever notes that the message is sent stores it."""
        delivery.content = {
            "title": message.subject,
            "text": message.text.strip(),
            "url": links.click_url(delivery, message.url),
        }

    def close(self) -> None:
        """Let go of nothing."""
