"""What other apps add to the pages of a segment: tabs, and panels of the overview.

They are registered when an app's admin is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from segments.models import Segment


@dataclass(frozen=True)
class Tab:
    """A page about one segment. With ``invitation``, the overview also shows a button with this label.

    The page of coming changes links to the page of an invitation, with ``change`` and ``before`` in the query string.
    """

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


Panel = Callable[[HttpRequest, Segment], str]
"""Returns the HTML of a panel, or an empty text for a person who may not see it."""

_tabs: dict[str, Tab] = {}
_panels: list[Panel] = []


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


def register_panel(panel: Panel) -> None:
    """Add a panel to the top of the overview of all segments."""
    if panel not in _panels:
        _panels.append(panel)


def panels(request: HttpRequest, segment: Segment) -> list[str]:
    """Return the panels that the person may see, in the order of registration."""
    return [html for panel in _panels if (html := panel(request, segment))]
