"""Messages on the shop's pages: kept with the delivery until a page of the shop fetches them."""

from campaigns.links import signed_links
from campaigns.models import Delivery

from .base import Channel, Consent, OutgoingMessage, Part, PartKind
from .registry import register


@register
class OnSite(Channel):
    """Messages on the shop's pages, also for anonymous visitors."""

    key = "on_site"
    noun = "an on-site message"
    parts = (
        Part("subject", "Title", PartKind.LINE, required="An on-site message needs a title."),
        Part("text", "Text", required="Write the text of the message.", alternative="html"),
        Part("html", "HTML", PartKind.HTML, help_text="Leave it empty to generate it from the text."),
        Part("url", "URL", PartKind.URL, help_text="The page that opens on a click."),
    )
    address = None
    # Nothing is sent: the visitor's page fetches the message.
    consent = Consent.NOT_NEEDED
    obeys_suppressions = False
    counts_towards_cap = False
    keeps_quiet_hours = False
    reached_at = "shown_at"

    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        """Set the content of the delivery, which the caller saves."""
        delivery.content = {
            "title": message.subject,
            "text": message.text.strip(),
            "url": signed_links.click_url(delivery, message.url),
        }
