"""Every admin page in a browser: without errors, accessible, and as wide as the screen."""

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support import chromium
from tests.support.admin_pages import PAGES
from tests.support.furnished_shop import LOGIN, PASSWORD
from tests.support.installation import Installation

Axe = Callable[[Page], None]
DRAWN = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def wandering(browser: Browser, shop: Installation) -> Iterator[tuple[Page, list[str]]]:
    """A page of a superuser that goes from one address to the next, with what goes wrong in it.

    A page for each address would load and compile the same scripts each time.
    """
    with chromium.context(browser, shop.url, shop.sessions["admin"]) as context:
        page = context.new_page()
        yield page, chromium.complaints_about(page, shop.url)


# A page looks the same whichever database it comes from; from each, all are opened by tests/test_admin.py.
@pytest.mark.skipif(os.environ["DATABASE_URL"].startswith("postgres"), reason="looked at on SQLite")
@pytest.mark.parametrize("view", [page.view for page in PAGES])
def test_every_page_is_accessible_on_every_screen(
    view: str, wandering: tuple[Page, list[str]], shop: Installation, axe: Axe
):
    page, complaints = wandering
    page.set_viewport_size({"width": chromium.WIDE, "height": chromium.HEIGHT})
    complaints.clear()
    page.goto(shop.addresses[view])

    axe(page)

    assert page.evaluate(DRAWN) <= chromium.NARROW
    assert not complaints


def test_the_api_documentation_opens_without_a_key(visit: Callable[[str], Page]):
    page = visit("")
    page.goto("/api/docs/")

    page.locator(".opblock-summary", has_text="List all segments, the oldest first").click()

    page.get_by_text("A part of the name or the slug.").wait_for()


def test_public_pages_and_the_api_in_a_browser_obey_the_content_security_policy(
    browser: Browser, shop: Installation
):
    """Some responses are errors, which `visit` would report."""
    console_messages: list[str] = []
    with chromium.context(browser, shop.url, shop.sessions["admin"]) as context:
        page = context.new_page()
        page.on("console", lambda said: console_messages.append(f"{page.url}: {said.text}"))
        for path in (
            "/unsubscribe/x",
            "/go/x",
            "/nowhere",
            "/api/v1/segments/",
            "/api/docs/",
            "/admin/nowhere/",
        ):
            page.goto(path)
            page.wait_for_load_state("networkidle")

    assert not [one for one in console_messages if "Content Security Policy" in one]


def test_staff_log_in(visit: Callable[[str], Page], axe: Axe):
    page = visit("")
    page.goto("/")
    axe(page)

    page.fill("[name=username]", LOGIN)
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")

    assert page.title().strip().startswith("Overview")


def test_every_entry_of_the_sidebar_is_a_tested_page(page: Page, shop: Installation):
    page.goto("/admin/")

    links = page.locator("#nav-sidebar a[href]").evaluate_all("links => links.map(link => link.pathname)")

    assert len(links) > 5
    assert set(links) <= set(shop.addresses.values())


def test_a_new_key_is_shown_once_to_be_copied(page: Page, shop: Installation, axe: Axe):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(shop.addresses["core_apikey_add"])
    page.fill("[name=name]", "Web shop")
    page.check("[name=scopes][value='visitors:read']")
    page.click("[name=_save]")

    axe(page)
    assert page.evaluate(DRAWN) <= chromium.NARROW
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("pub_")
    assert page.locator("pre").inner_text().count(copied) == 1
