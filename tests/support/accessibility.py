"""Checks pages for accessibility with axe-core."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from . import chromium

SERIOUS_IMPACTS = ("serious", "critical")
# Faults of the admin's framework that no small override mends, each with its reason.
IGNORED_RULES = {
    ".help-tooltip": "Django's chooser of several puts aria-label on a span",
}
RUN = """skipped => axe.run(
    {exclude: skipped.map(selector => [selector])},
    {resultTypes: ["violations"]},
).then(results => results.violations)"""


def assert_accessible(page: Page) -> None:
    """Fail where axe finds something serious or critical, in a wide light window or a narrow dark one.

    That is each theme and each width once: colours do not depend on the width, nor the layout on the theme.
    """
    page.wait_for_load_state()  # a click has led here, perhaps: the page may be there only in part
    found = []
    for width, theme in chromium.WINDOWS:
        page.set_viewport_size({"width": width, "height": chromium.HEIGHT})
        found += [f"{width}, {theme}: {violation}" for violation in violations(page, theme)]
    assert not found, "\n".join(found)


def violations(page: Page, theme: str) -> list[str]:
    """Name what is wrong, each with the places where."""
    chromium.put_on(page, theme)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found: list[dict[str, Any]] = page.evaluate(RUN, list(IGNORED_RULES))
    return [_told(violation) for violation in found if violation["impact"] in SERIOUS_IMPACTS]


def _told(violation: dict[str, Any]) -> str:
    places = [f"    {node['target']} {node['html'][:200]}" for node in violation["nodes"][:5]]
    count = len(violation["nodes"])
    return "\n".join([f"{violation['id']} ({count} times): {violation['help']}", *places])
