"""From a segment to a running campaign in a browser, as marketers do it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support import chromium
from tests.support.installation import Installation

DRAWN = "document.documentElement.scrollWidth"


@pytest.mark.parametrize("segment", ["waiting", "lead", "anonymous"])
def test_staff_choose_check_and_start_a_tactic(
    page: Page, shop: Installation, axe: Callable[[Page], None], segment: str
):
    page.goto(f"{shop.addresses['segments_segment_changelist']}?q={segment}")
    page.locator("#result_list th a, .field-titled a").first.click()
    page.get_by_role("link", name="Start a campaign").click()
    card = page.locator(".card").filter(has=page.get_by_role("button", name="Use this")).first
    name = card.locator("h4").inner_text()
    card.get_by_role("button", name="Use this").click()

    # The draft is filled in; what it still needs is said.
    expect(page.get_by_text("Nothing is sent until you start it").first).to_be_visible()
    assert name in page.locator(".headline h2").inner_text()
    page.wait_for_load_state()
    if page.get_by_text("choose the pool of codes").count():
        page.locator("nav.tabs").get_by_role("link", name="Edit").click()
        page.get_by_label("Coupon codes").select_option(index=1)
        page.get_by_role("button", name="Save", exact=True).click()
    axe(page)
    assert page.evaluate(DRAWN) <= chromium.NARROW
    page.get_by_role("link", name="Preview").first.click()
    expect(page.locator("nav.choices")).to_be_visible()
    page.get_by_role("link", name="Overview", exact=True).click()
    page.wait_for_load_state()
    if page.get_by_role("link", name="Start …").count():
        page.get_by_role("link", name="Start …").click()
        expect(page.get_by_role("button", name="Start the campaign")).to_be_visible()
        page.wait_for_load_state()
        if (asked := page.get_by_label("The page with the sign-up form")).count():
            asked.fill("https://shop.example/newsletter")
        page.get_by_role("button", name="Start the campaign").click()
    else:
        page.get_by_role("button", name="Start", exact=True).click()

    expect(page.get_by_text("is running.").first).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_a_campaign_starts_seven_days_before_customers_would_be_lost(
    page: Page, shop: Installation, axe: Callable[[Page], None]
):
    page.goto(f"{shop.addresses['segments_segment_changelist']}?q=lost")
    page.get_by_role("link", name="Lost", exact=True).first.click()
    page.get_by_role("link", name="Start a campaign").click()
    page.get_by_role("link", name="7 days before they would enter").click()
    expect(page.get_by_text("It is called off for those for whom that no longer holds")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Use this: News of the categories").click()

    expect(page.get_by_text("The draft is ready").first).to_be_visible()
    sentence = "For customers who would enter “Lost” within 7 days if nothing more is recorded"
    expect(page.get_by_text(sentence).first).to_be_visible()
    shop.manage("refresh_segments")
    page.get_by_role("link", name="Start …").click()
    expect(page.get_by_label("Starts")).to_have_value("7d")
    page.get_by_label("Starts").select_option("14d")
    page.get_by_role("button", name="Change the start").click()
    expect(page.get_by_text("within 14 days if nothing more is recorded").first).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Start the campaign").click()

    expect(page.get_by_text("is running.").first).to_be_visible()


def test_steps_are_added_moved_removed_and_restored(page: Page, shop: Installation):
    page.goto(shop.addresses["campaigns_campaign_edit"])
    steps = page.locator(".step")
    before = steps.count()
    steps.first.get_by_role("textbox", name="Subject").fill("First")

    page.get_by_role("button", name="Add a step").click()
    added = steps.nth(before)
    added.get_by_label("Channel").select_option("webhook")
    expect(added.get_by_role("button", name="Advanced")).to_be_hidden()
    expect(added.get_by_role("textbox", name="Text", exact=True)).to_have_count(1)
    added.get_by_label("Channel").select_option("on_site")
    expect(added.get_by_role("button", name="Advanced")).to_be_visible()
    added.get_by_role("textbox", name="Subject").fill("Second")
    added.get_by_role("textbox", name="Text", exact=True).fill("Hello again")
    added.get_by_label("URL").fill("https://shop.example/")
    added.get_by_role("button", name="Move up", exact=True).click()
    page.get_by_role("button", name="Add a step").click()
    steps.last.get_by_role("button", name="Remove", exact=True).click()
    steps.first.get_by_role("button", name="Remove", exact=True).click()
    expect(steps.first.get_by_text("This step is removed when you save.")).to_be_visible()
    steps.first.get_by_role("button", name="Restore").click()
    page.get_by_role("button", name="Save", exact=True).click()

    expect(page.get_by_text("is saved.").first).to_be_visible()
    step_texts = page.locator(".steps > li").all_inner_texts()
    assert len(step_texts) == before + 1
    assert ["Second" in one or "First" in one for one in step_texts[:2]] == [True, True]
    assert any("on-site message" in one for one in step_texts)
