"""A segment as a workplace: duplicated and changed, its people as a table, and what its deletion brings about."""

import csv
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.support.installation import Installation, worker


def cells(page: Page, label: str) -> list[str]:
    return page.locator(f"table.people td[data-label='{label}']").all_inner_texts()


def test_a_segment_is_duplicated_and_changed_with_two_clicks(
    page: Page, shop: Installation, axe: Callable[[Page], None]
) -> None:
    clicks = 0

    def click(target: Locator) -> None:
        nonlocal clicks
        clicks += 1
        target.click()

    page.goto(shop.addresses["segments_segment_changelist"])
    # Another test of this shop may have made a segment of the same name.
    click(page.get_by_role("link", name="Duplicate Repeat buyers", exact=True).first)
    page.fill("#id_name", "Buyers who came back often")
    page.fill("#id_tags", "vip")
    number = page.locator(".rule-editor input[type=number], .rule-group input").first
    number.fill("3")
    click(page.get_by_role("button", name="Save", exact=True))

    # One stands on the segment's page, which fills without a reload by the person.
    expect(page.get_by_role("heading", name="Buyers who came back often", exact=True)).to_be_visible()
    expect(page.locator("#filling")).to_be_visible()
    shop.manage("refresh_segments")
    expect(page.locator("#filling")).to_have_count(0, timeout=15_000)
    expect(page.get_by_text("may be written to")).to_be_visible()
    assert clicks == 2

    page.get_by_role("button", name="Star Buyers who came back often").click()
    expect(page.locator(".star[aria-pressed=true]")).to_be_visible()
    axe(page)
    page.goto(shop.addresses["segments_segment_changelist"])
    expect(page.locator("#result_list tbody tr").first).to_contain_text("Buyers who came back often")
    page.get_by_role("navigation", name="Show").get_by_role("link", name="vip").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def test_people_are_sorted_filtered_selected_and_exported_as_seen(
    page: Page, shop: Installation, axe: Callable[[Page], None], tmp_path: Path
) -> None:
    page.goto(shop.addresses["segments_segment_members"])
    page.locator("summary", has_text="Columns").click()
    page.get_by_role("checkbox", name="Visits", exact=True).check()
    page.get_by_role("checkbox", name="Country", exact=True).uncheck()
    page.locator(".drawers").get_by_role("button", name="Show").last.click()
    expect(page.get_by_role("columnheader", name="Visits")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Country")).to_have_count(0)

    page.get_by_role("columnheader", name="Visits").get_by_role("link").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Visits ↓")
    visits = [int(text) for text in cells(page, "Visits")]
    assert visits == sorted(visits, reverse=True)
    assert visits[0] > visits[-1]

    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Who", exact=True).select_option("yes")
    page.locator(".drawers").get_by_role("button", name="Show").first.click()
    expect(page.locator(".people-count")).to_contain_text(" of ")
    names = cells(page, "Name")
    assert names
    assert not [name for name in names if name.startswith("Visitor")]
    axe(page)

    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export as seen").click()
    downloading.value.save_as(tmp_path / "people.csv")
    rows = list(csv.DictReader((tmp_path / "people.csv").read_text().splitlines()))
    assert [row["name"] for row in rows][: len(names)] == names
    assert "country" not in rows[0]

    for box in page.locator("[name=customer]").all()[:2]:
        box.check()
    expect(page.get_by_text("With 2 selected people:")).to_be_visible()
    page.get_by_role("button", name="Add to a fixed list").click()
    page.get_by_label("Name of the new list").fill("Two of them")
    axe(page)
    page.get_by_role("button", name="Add to the list").click()
    expect(page.get_by_role("heading", name="Two of them", exact=True)).to_be_visible()
    assert sorted(cells(page, "Name")) == sorted(names[:2])

    # What goes with a segment is told before it is deleted.
    page.get_by_role("link", name="Overview", exact=True).click()
    page.get_by_role("link", name="Delete …").click()
    expect(page.get_by_text("2 memberships")).to_be_visible()
    expect(page.get_by_text("The webhook").first).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("was deleted successfully").first).to_be_visible()


def test_a_new_segment_shows_its_last_year(
    page: Page, shop: Installation, axe: Callable[[Page], None], tmp_path: Path
) -> None:
    page.goto(shop.addresses["segments_segment_changelist"])
    page.get_by_role("link", name="Duplicate Lost", exact=True).first.click()
    page.fill("#id_name", "Long gone")
    page.get_by_role("button", name="Save", exact=True).click()

    page.get_by_role("link", name="Over time", exact=True).click()
    page.get_by_label("How far back").select_option("1 year")
    page.get_by_role("button", name="Compute the past").click()
    expect(page.get_by_role("progressbar", name="How many days are computed")).to_be_visible()
    with worker(shop.environment, tmp_path / "worker.log"):
        chart = page.locator(".chart-box svg").first
        expect(chart).to_be_visible(timeout=60_000)
        expect(page.get_by_text("computed by the present rule from today's records")).to_be_visible()
        page.locator("summary", has_text="Show as a table").first.click()
        expect(page.locator("td[data-label='Computed']").filter(has_not_text="–")).to_have_count(365)

        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator(".chart-box svg")).to_have_count(2, timeout=60_000)
    expect(page.get_by_text("Everyone who was last active longer than 120 days ago")).to_be_visible()
    axe(page)


def test_staff_read_when_somebody_enters_and_what_prevents_it(
    page: Page, shop: Installation, axe: Callable[[Page], None], tmp_path: Path
) -> None:
    page.goto(shop.addresses["segments_segment_changelist"])
    page.get_by_role("link", name="Lost", exact=True).first.click()
    expect(page.get_by_text("if nothing more is recorded").first).to_be_visible()
    page.get_by_role("link", name="See who", exact=True).click()
    page.get_by_role("link", name="30 days", exact=True).click()
    expect(page.get_by_role("heading", name="By day")).to_be_visible()
    axe(page)

    names = page.locator("td[data-label='Customer']").all_inner_texts()
    assert names
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export as CSV").click()
    downloading.value.save_as(tmp_path / "upcoming.csv")
    rows = list(csv.DictReader((tmp_path / "upcoming.csv").read_text().splitlines()))
    assert {row["change"] for row in rows} == {"entered"}
    assert len(rows) >= len(names)

    page.get_by_role("link", name="Why", exact=False).first.click()
    expect(page.get_by_text("unless they visit or order.")).to_be_visible()
    axe(page)
