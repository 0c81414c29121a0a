"""The lifecycle: a cell of the flow becomes a list, a band of the picture lists who, and staff move the stages."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.installation import Installation


def test_a_cell_of_the_flow_becomes_a_list(
    page: Page, shop: Installation, axe: Callable[[Page], None]
) -> None:
    clicks = 0
    page.goto(shop.addresses["segments_segment_flow"])
    cells = page.get_by_role("region", name="Matrix of the stages").get_by_role("link")
    expect(cells.first).to_be_visible()
    axe(page)

    # A cell, from the keyboard.
    page.goto(shop.addresses["segments_segment_flow"])
    moved = page.get_by_role("link", name="from New, or in no stage to Anonymous visitors")
    count = int(moved.inner_text().replace(",", ""))
    moved.focus()
    page.keyboard.press("Enter")
    clicks += 1
    expect(page.get_by_role("heading", name="New, or in no stage → Anonymous visitors")).to_be_visible()
    expect(page.locator(".sheet tbody tr")).to_have_count(min(count, 50))
    axe(page)
    page.get_by_label("Name").fill("New visitors of the month")
    page.get_by_role("button", name="Make a fixed list").click()
    clicks += 1

    expect(page.get_by_text(f"New visitors of the month was created with {count:,} members.")).to_be_visible()
    assert clicks == 2

    # A press on a band of the picture, wherever it is drawn.
    page.goto(shop.addresses["segments_segment_flow"])
    expect(page.locator("[data-chart] svg path[d*='C']").first).to_be_visible()
    band = page.evaluate(
        """() => {
            const boxes = [...document.querySelectorAll("[data-chart] svg path[d*='C']")]
                .map((path) => path.getBoundingClientRect())
                .sort((a, b) => b.height * b.width - a.height * a.width);
            return {x: boxes[0].x + boxes[0].width / 2, y: boxes[0].y + boxes[0].height / 2};
        }"""
    )
    page.mouse.click(band["x"], band["y"])
    expect(page.get_by_role("button", name="Start a campaign")).to_be_visible()


def test_stages_are_moved_by_key_and_by_dragging_and_who_returned_is_counted(
    page: Page, shop: Installation, axe: Callable[[Page], None]
) -> None:
    page.goto(shop.addresses["segments_segment_lifecycle"])
    asked = page.get_by_role("region", name="Asked in this order").get_by_role("listitem")
    before = names(page)
    page.get_by_role("region", name="Asked in this order").get_by_label("Move Lost down").press("Enter")
    expect(page.get_by_text("Lost is now number 3 of")).to_be_visible()
    moved = names(page)
    assert (moved[1], moved[2]) == (before[2], before[1])
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The lifecycle was saved")).to_be_visible()
    assert names(page) == moved

    asked.nth(2).locator(".sortable-grip").drag_to(asked.nth(1), target_position={"x": 40, "y": 4})
    assert names(page) == before
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The lifecycle was saved")).to_be_visible()
    assert names(page) == before
    axe(page)

    page.goto(shop.addresses["segments_segment_retention"])
    cells = page.get_by_role("region", name="Customers by month").get_by_role("link")
    expect(cells.first).to_be_visible()
    expect(page.locator("[data-chart] svg").first).to_be_visible()
    axe(page)
    page.get_by_role("combobox", name="Month of").select_option("newsletter-subscribers")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="by month of entering Newsletter subscribers")).to_be_visible()


def names(page: Page) -> list[str]:
    region = page.get_by_role("region", name="Asked in this order")
    return region.locator("li .sortable-text > a").all_inner_texts()
