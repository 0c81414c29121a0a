"""The first day: from an empty installation to a filled home page, by a file as an Italian shop has it."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from segments_project.server.bundled_servers import redis_server
from tests.support import chromium
from tests.support.installation import Installation, empty_installation

from .conftest import empty_database

MAX_CLICKS = 7
WIDTH = "document.documentElement.scrollWidth"
PATIENCE = 60_000
NAMES = ("Niccolò Forlì", "Zoé Müller", "Agnès Però", "Ugo Rossi", "Mia Bassi", "Élodie Città")


def italian_orders() -> bytes:
    """Return a file with semicolons in Windows-1252, with dates such as 25/11/2026."""
    now = datetime.now(UTC)
    lines = ["Numero ordine;Data ordine;Nome;Cognome;Indirizzo e-mail;Totale ordine"]
    for number in range(60):
        first, last = NAMES[number % len(NAMES)].split()
        placed = now - timedelta(days=3 * number + 1)
        total = f"1.{number:03},{number:02} €"
        lines.append(f"IT-{number};{placed:%d/%m/%Y};{first};{last};cliente{number % 17}@example.org;{total}")
    lines.append("IT-99;domani;Ugo;Rossi;ugo@example.org;5,00 €")
    return "\r\n".join(lines).encode("cp1252")


@pytest.fixture
def empty(browser: Browser, tmp_path: Path) -> Iterator[Installation]:
    with (
        redis_server(tmp_path / "redis") as redis,
        empty_database(tmp_path, "test_first_day") as database_url,
        empty_installation(database_url, redis.url, tmp_path) as served,
    ):
        yield served


def test_an_empty_shop_becomes_a_filled_home_page(
    browser: Browser, empty: Installation, axe: Callable[[Page], None]
):
    clicks = 0

    def press(place: Locator) -> None:
        nonlocal clicks
        clicks += 1
        place.click()

    with chromium.context(browser, empty.url, empty.sessions["admin"], time_zone="Europe/Rome") as context:
        page = context.new_page()
        complaints = chromium.complaints_about(page, empty.url)
        page.goto("/admin/")
        expect(page.get_by_text("0 of 6 done.")).to_be_visible()
        axe(page)
        assert page.evaluate(WIDTH) <= chromium.NARROW
        page.set_viewport_size({"width": chromium.WIDE, "height": chromium.HEIGHT})

        press(page.get_by_role("link", name="Shop settings").last)
        page.get_by_label("Name", exact=False).first.fill("Bottega Rossi")
        page.get_by_label("Front page").fill("rossi.example")
        page.get_by_label("Sender address").fill("ciao@rossi.example")
        expect(page.get_by_label("Time zone")).to_have_value("Europe/Rome")
        press(page.get_by_role("button", name="Save", exact=True))

        expect(page.get_by_text("1 of 6 done.")).to_be_visible()
        press(page.get_by_role("link", name="Import a file"))
        clicks += 1  # the file is chosen
        page.set_input_files(
            "[name=file]", {"name": "ordini.csv", "mimeType": "text/csv", "buffer": italian_orders()}
        )
        press(page.get_by_role("button", name="Upload and preview"))
        expect(page.get_by_label("What “Totale ordine” becomes")).to_have_value("total")
        press(page.get_by_role("button", name="Start the import"))

        expect(page.get_by_text("17 new, 0 changed")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("60 new, 0 changed")).to_be_visible()
        expect(page.get_by_text("1 row could not be read.")).to_be_visible()
        axe(page)
        assert page.evaluate(WIDTH) <= chromium.NARROW
        press(page.get_by_role("button", name="Install the ready-to-use segments"))

        expect(page.get_by_text("3 of 6 done.")).to_be_visible()
        filled = page.locator(".stage .figure").filter(has_text=re.compile("[1-9]"))
        until = datetime.now(UTC) + timedelta(milliseconds=PATIENCE)
        while not filled.count() and datetime.now(UTC) < until:  # the refresh is running
            page.reload()
        expect(filled.first).to_be_visible()
        expect(page.get_by_text("Next: Set up e-mail")).to_be_visible()
        axe(page)
        assert not complaints
    assert clicks <= MAX_CLICKS
