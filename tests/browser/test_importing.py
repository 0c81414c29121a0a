"""A file as people have it: staff upload it, answer a question, and start the import, with the keyboard."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support import chromium
from tests.support.installation import Installation

Axe = Callable[[Page], None]

FILE = (
    "Elenco ordini;;;;\nNumero ordine;Data ordine;Cliente;Indirizzo e-mail;Totale ordine\n"
    "IT-1;05/03/2026;Niccolò Forlì;niccolo@example.org;1.234,56 €\n"
    "IT-2;06/03/2026;Zoé Müller;zoe@example.org;12,00 €\nIT-3;domani;Zoé Müller;zoe@example.org;5,00 €\n"
)
WIDTH = "document.documentElement.scrollWidth"


def test_a_question_about_dates_is_answered_and_the_import_is_started_by_keyboard(
    page: Page, shop: Installation, axe: Axe
):
    page.goto(shop.addresses["customers_import_add"])
    page.set_input_files(
        "[name=file]", {"name": "ordini.csv", "mimeType": "text/csv", "buffer": FILE.encode("cp1252")}
    )
    page.get_by_role("button", name="Upload and preview").press("Enter")

    expect(page.get_by_text("Does the day or the month stand first?")).to_be_visible()
    expect(page.get_by_role("button", name="Start the import")).to_have_count(0)
    axe(page)
    assert page.evaluate(WIDTH) <= chromium.NARROW
    page.get_by_role("button", name="The day stands first").press("Enter")

    expect(page.get_by_role("heading", name="The first rows, as they are stored")).to_be_visible()
    expect(page.get_by_label("What “Data ordine” becomes")).to_have_value("placed_at")
    expect(page.get_by_text("2026-03-05").first).to_be_visible()
    expect(page.get_by_text("Data ordine: 'domani' is not a time", exact=False)).to_be_visible()
    page.locator("summary", has_text="How the file is written: Windows-1252").press("Enter")
    axe(page)
    assert page.evaluate(WIDTH) <= chromium.NARROW
    page.get_by_label("What “Cliente” becomes").select_option(label="leave out")
    page.get_by_role("button", name="Preview again").press("Enter")

    expect(page.get_by_label("What “Cliente” becomes")).to_have_value("")
    page.get_by_role("button", name="Start the import").press("Enter")

    expect(page.get_by_role("heading", name="Orders, with their customers and lines")).to_be_visible()
