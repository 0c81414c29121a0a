"""Pages that other apps add to those of a segment: each app names its own when its admin is loaded."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from segments.models import Segment


@dataclass(frozen=True)
class Tab:
    """A page about one segment: its name among the pages, its view, who may open it, what a button invites to."""

    key: str
    label: str
    view: str
    permission: str
    invitation: str = ""


@dataclass(frozen=True)
class TabLink:
    """A tab of one segment, as its page shows it."""

    key: str
    label: str
    address: str
    invitation: str


_tabs: dict[str, Tab] = {}


def register_tab(tab: Tab) -> None:
    """Show a page beside those of every segment."""
    if _tabs.setdefault(tab.key, tab) != tab:
        raise ValueError(f"There is another tab {tab.key!r} already.")


def tab_links(request: HttpRequest, segment: Segment) -> list[TabLink]:
    """Give what the person may open, in the order in which it was registered."""
    return [
        TabLink(tab.key, tab.label, reverse(f"admin:{tab.view}", args=[segment.pk]), tab.invitation)
        for tab in _tabs.values()
        if request.user.has_perm(tab.permission)
    ]
