"""The home page of the sample shop: numbers and bars lead to people, a suggestion leads to the start form."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.installation import Installation


def test_a_bar_lists_who_and_a_suggestion_leads_to_the_start_form(
    page: Page, shop: Installation, axe: Callable[[Page], None]
):
    page.goto(shop.addresses["index"])

    # The whole page, when all panels have come.
    expect(page.get_by_role("list", name="Suggestions").get_by_role("listitem")).to_have_count(3)
    expect(page.get_by_role("heading", name="Revenue, last 30 days")).to_be_visible()
    expect(page.get_by_role("heading", name="First order", exact=True)).to_be_visible()
    expect(page.get_by_text("can get an e-mail: subscribed, and with an address")).to_be_visible()
    page.locator(".system-status summary").click()
    expect(
        page.get_by_text("The latest refresh of the segments started").or_(late(page)).first
    ).to_be_visible()
    axe(page)

    # A press on a bar, wherever it is drawn.
    page.goto(shop.addresses["index"])
    chart = page.locator("[data-chart]")
    bars = chart.locator("svg path[fill='#0284c7']")
    expect(bars.first).to_be_visible()
    bars.first.click(force=True)  # its pattern lies above it
    expect(page.get_by_role("heading", name="entered from")).to_be_visible()
    expect(page.locator(".sheet tbody tr").first).to_be_visible()
    axe(page)

    # A number, from the keyboard.
    page.goto(shop.addresses["index"])
    page.get_by_role("link", name="Lost:").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Stage: Lost")).to_be_visible()
    axe(page)

    page.goto(shop.addresses["index"])
    page.get_by_role("list", name="Suggestions").get_by_role("button").first.click()
    expect(page.get_by_role("button", name="Start the campaign")).to_be_visible()


def late(page: Page):
    return page.get_by_text("The next refresh is late")
