"""The newsletter form on a page of the shop: by keyboard, on a narrow screen, and with its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.conf import settings
from playwright.sync_api import Browser, Page, Route

SCRIPT = settings.BASE_DIR / "campaigns" / "static" / "campaigns" / "newsletter-form.js"
HOST = "https://segments.shop.example"
PAGE = f"""<!doctype html><html lang="en"><head><title>Our newsletter</title></head><body><main><h1>Our newsletter</h1>
<script src="{HOST}/static/campaigns/newsletter-form.js" data-key="wk_1"
    data-consent="Yes, tell me of new lamps." defer></script></main></body></html>"""


@pytest.fixture
def requests() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def page(browser: Browser, requests: list[dict[str, Any]]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 360, "height": 640})

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            requests.append(json.loads(route.request.post_data or ""))
        allowed = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        is_script = route.request.url.endswith(".js")
        kind, body = ("text/javascript", SCRIPT.read_text()) if is_script else ("application/json", "{}")
        route.fulfill(body=body, content_type=kind, headers=allowed)

    context.route(f"{HOST}/**", answer)
    context.route("https://shop.example/", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page = context.new_page()
    page.goto("https://shop.example/")
    yield page
    context.close()


def test_the_form_works_with_the_keyboard_and_sends_the_visitors_id(
    page: Page, requests: list[dict[str, Any]]
) -> None:
    page.get_by_label("E-mail address").focus()
    page.keyboard.type("ada")
    page.keyboard.press("Enter")
    assert "name@example.com" in page.get_by_role("alert").inner_text()
    assert page.evaluate("document.activeElement.type") == "email"
    page.keyboard.type("@example.org")
    page.keyboard.press("Enter")
    assert "tick the box" in page.get_by_role("alert").inner_text()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")

    page.get_by_text("please confirm your address").wait_for()
    [sent] = requests
    assert sent["traits"] == {"email": "ada@example.org", "newsletter": True}
    assert sent["writeKey"] == "wk_1"
    assert sent["anonymousId"] == json.loads(page.evaluate("localStorage.ajs_anonymous_id"))


def test_the_form_is_accessible_and_fits_a_narrow_screen(page: Page) -> None:
    assert page.get_by_label("Yes, tell me of new lamps.").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate("axe.run().then(results => results.violations.map(one => one.id))") == []
