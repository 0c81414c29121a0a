"""Tabs that other apps add to the pages of a segment. They are registered when an app's admin is loaded."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from segments.models import Segment


@dataclass(frozen=True)
class Tab:
    """A page about one segment. With ``invitation``, the overview also shows a button with this label."""

    key: str
    label: str
    view: str
    permission: str
    invitation: str = ""


@dataclass(frozen=True)
class TabLink:
    """The tab of one segment, with its URL."""

    key: str
    label: str
    address: str
    invitation: str


_tabs: dict[str, Tab] = {}


def register_tab(tab: Tab) -> None:
    """Add a tab to the pages of all segments. Raises ValueError if the key is taken."""
    if _tabs.setdefault(tab.key, tab) != tab:
        raise ValueError(f"Another tab has the key {tab.key!r}.")


def tab_links(request: HttpRequest, segment: Segment) -> list[TabLink]:
    """Return the tabs that the person may open, in the order of registration."""
    return [
        TabLink(tab.key, tab.label, reverse(f"admin:{tab.view}", args=[segment.pk]), tab.invitation)
        for tab in _tabs.values()
        if request.user.has_perm(tab.permission)
    ]
