"""A file as people have it: staff upload it, answer a question, and start the import, with the keyboard."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support import chromium, installation
from tests.support.installation import Installation
from tests.support.workbooks import workbook

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


WOOCOMMERCE = (
    "order_id,order_number,date,status,shipping_total,cart_discount,discount_total,order_total,refunded_total,"
    "order_currency,payment_method,customer_id,billing_first_name,billing_last_name,billing_email,billing_phone,"
    "billing_city,billing_country,item_id,item_name,item_sku,item_quantity,item_total,coupons\n"
    "77,W-77,2026-03-31 18:30:00,completed,5.00,0,2.50,47.50,0,EUR,stripe,0,Ada,Woo,ada.woo@example.org,,Torino,IT,"
    "1,Scarf,S-1,2,30.00,SPRING\n"
    "77,W-77,2026-03-31 18:30:00,completed,5.00,0,2.50,47.50,0,EUR,stripe,0,Ada,Woo,ada.woo@example.org,,Torino,IT,"
    "2,Hat,H-1,1,15.00,SPRING\n"
)
CONTACTS = (
    ("Elenco clienti",),
    ("Cognome e nome", "Indirizzo e-mail", "Data di nascita", "Newsletter"),
    ("De Rossi Anna", "anna.xlsx@example.org", datetime(1990, 3, 31), "sì"),  # noqa: DTZ001
    ("Bianchi Bo", "bo.xlsx@example.org", None, "no"),
)


@pytest.mark.parametrize(
    ("name", "data", "kind", "column", "field", "records"),
    [
        (
            "orders.csv",
            WOOCOMMERCE.encode(),
            "Orders, with their customers",
            "billing_email",
            "email",
            {
                "Customers": "1 new, 0 changed",
                "Orders": "1 new, 0 changed",
                "Order lines": "2 new, 0 changed",
            },
        ),
        (
            "clienti.xlsx",
            workbook(Clienti=CONTACTS),
            "Contacts: customers",
            "Cognome e nome",
            "last_first_name",
            {"Customers": "2 new, 0 changed"},
        ),
    ],
    ids=["an export of WooCommerce", "a workbook"],
)
def test_a_file_is_imported_in_four_clicks(
    name: str,
    data: bytes,
    kind: str,
    column: str,
    field: str,
    records: dict[str, str],
    page: Page,
    shop: Installation,
    tmp_path: Path,
):
    page.goto(shop.addresses["customers_import_changelist"])
    page.get_by_role("link", name="Import a file").click()
    page.set_input_files("[name=file]", {"name": name, "mimeType": "", "buffer": data})
    page.get_by_role("button", name="Upload and preview").click()

    expect(page.get_by_label(f"What “{column}” becomes")).to_have_value(field)
    page.get_by_role("button", name="Start the import").click()

    expect(page.get_by_role("heading", name=kind)).to_be_visible()
    with installation.worker(shop.environment, tmp_path / "worker.log"):
        expect(page.get_by_text("Finished", exact=False)).to_be_visible(timeout=60_000)
    report = page.locator("#import-progress")
    for label, count in {**records, "Rows rejected": "0"}.items():
        expect(report.locator(f"dt:text-is('{label}') + dd")).to_have_text(count)
