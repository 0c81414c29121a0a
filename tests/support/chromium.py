"""Chromium, as Debian has it: one browser a process, watched for what no page of ours may do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

WIDE, NARROW = 1440, 360
HEIGHT = 900
PATIENCE = 120
"""Seconds; a busy machine takes a multiple of the usual one or two."""
THEMES = ("light", "dark")
WINDOWS = ((WIDE, "light"), (NARROW, "dark"))
# What a browser does on its own account is kept off the network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WITHOUT_MOTION = "*, ::before, ::after { animation: none !important; transition: none !important; }"


def executable() -> str | None:
    """Find the browser: the one that CHROMIUM names, else one on PATH."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the browser."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def context(
    started: Browser, url: str, session: str = "", theme: str = "light", time_zone: str = "UTC"
) -> Iterator[BrowserContext]:
    """Open a profile of its own, logged in where a session is given; addresses begin at the installation's."""
    opened = started.new_context(
        base_url=url,
        viewport={"width": WIDE, "height": HEIGHT},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        timezone_id=time_zone,
    )
    opened.set_default_timeout(1000 * PATIENCE)
    if session:
        opened.add_cookies([{"name": "sessionid", "value": session, "url": url}])
    try:
        yield opened
    finally:
        opened.close()


def complaints_about(page: Page, url: str) -> list[str]:
    """Give a list that fills with what goes wrong in a page from now on, and what it asks of other hosts."""
    found: list[str] = []
    own = urlsplit(url).netloc

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error":
            found.append(f"console: {said.text}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            found.append(f"{response.status}: {response.url}")

    def asked(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != own:
            found.append(f"asks another host: {address}")

    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("response", answered)
    page.on("request", lambda request: asked(request.url))
    page.on("websocket", lambda socket: asked(socket.url))
    return found


def put_on(page: Page, theme: str) -> None:
    """Switch to the light or the dark theme with the admin's own keys; nothing moves any more."""
    page.add_style_tag(content=WITHOUT_MOTION)
    for _ in range(3):
        if page.evaluate("document.documentElement.classList.contains('dark')") == (theme == "dark"):
            return
        page.keyboard.press("Control+e")
    raise AssertionError(f"the page does not become {theme}")
