"""What to mend in a message before it is sent: what prevents it, what mail programs cut, links that lead nowhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from django.conf import settings

from campaigns.channels.base import Check, OutgoingMessage
from campaigns.channels.registry import CHANNELS
from campaigns.links import link_rewriting, shop_pages
from campaigns.models import Step
from core.shop import default_shop, shop

from .rendering import Preview

MESSAGE: Final = "Message"
LINKS: Final = "Links"


def checks(step: Step, preview: Preview) -> list[Check]:
    """Return the checks of a rendered message, apart from those that ask the shop."""
    found = [Check(MESSAGE, problem, is_passed=False) for problem in preview.problems]
    channel = CHANNELS.get(step.channel)
    if channel:
        found += channel.checks(preview.message)
    if preview.message:
        found += _dead_links(preview.message)
    return found


def link_checks(message: OutgoingMessage) -> list[Check]:
    """Ask the shop for the pages and pictures that a message links to. It takes seconds."""
    statuses = shop_pages.page_statuses(message_links(message))
    return list(_checked_pages(statuses))


def message_links(message: OutgoingMessage) -> Sequence[str]:
    """Return the URLs of a message: of links and pictures."""
    found = link_rewriting.html_urls(message.html) if message.html else link_rewriting.text_urls(message.text)
    return list(dict.fromkeys([*found, *filter(None, [message.url])]))


def _dead_links(message: OutgoingMessage) -> Iterator[Check]:
    dead = [url for url in message_links(message) if url in ("", "#")]
    if dead:
        yield Check(
            LINKS,
            "A link or a picture leads nowhere.",
            "Write its address in the block. A value leads only to pages of the shop.",
            is_passed=False,
        )


def _checked_pages(statuses: Mapping[str, int | None]) -> Iterator[Check]:
    if shop().url == default_shop().url and not settings.SHOP_URL_IS_CONFIGURED:
        yield Check(
            LINKS,
            "The URL of the shop is not set, so links to the shop lead nowhere.",
            "Enter it in the settings of the shop.",
            is_passed=False,
        )
        return
    missing = [url for url, status in statuses.items() if status in shop_pages.MISSING]
    silent = [url for url, status in statuses.items() if status is None or status >= 500]
    for url in missing:
        yield Check(
            LINKS,
            f"The shop has no page {url}.",
            "Correct the address, or choose another page.",
            is_passed=False,
        )
    if silent:
        yield Check(
            LINKS,
            f"The shop did not answer for {silent[0]}.",
            "Open it in your browser to see whether it works.",
            is_passed=False,
        )
    if not missing and not silent:
        count = len(statuses)
        answered = f"{count} page{'' if count == 1 else 's'} of the shop answered."
        yield Check(LINKS, answered if count else "None leads to the shop.")
