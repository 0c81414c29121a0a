"""The first day of a new user: segments built with mouse and keyboard, and their members."""

import csv
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from segments_project.server.bundled_servers import redis_server
from tests.support import chromium, installation
from tests.support.furnished_shop import LOGIN, PASSWORD
from tests.support.installation import Installation

LOYAL_ABROAD = {
    "all": [
        {
            "any": [
                {"order_count": {"at_least": 2, "during": {"within_last": "30d"}}},
                {"total_spent": {"above": "average"}},
            ]
        },
        {"none": [{"country": {"in": ["FR"]}}]},
    ]
}
TABS_AT_MOST = 80
FOCUSED = "document.activeElement.ariaLabel || document.activeElement.innerText || document.activeElement.id"


def figure(page: Page) -> int:
    """Return the live count, once it is the count of the present rule."""
    count = page.locator(".rule-count:not(.is-stale) .figure")
    expect(count).to_be_visible(timeout=15_000)
    return int(count.inner_text().replace(",", ""))


def rule_of(page: Page) -> object:
    return json.loads(page.locator("#id_rule").input_value())


def add_condition(page: Page, group: Locator, words: str) -> None:
    group.get_by_role("button", name="Condition", exact=True).last.click()
    page.get_by_role("searchbox", name="Search the filters").fill(words)
    page.get_by_role("dialog").locator(".rule-option").first.click()


def test_a_segment_is_built_by_clicks_and_followed_to_its_members(
    visit: Callable[[str], Page], shop: Installation, tmp_path: Path
):
    page = visit("")
    page.goto("/")
    page.fill("[name=username]", LOGIN)
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="Log in").click()

    # A template becomes a segment.
    page.goto(shop.addresses["segments_segment_from_template"])
    page.locator(".card", has_text="Repeat buyers").first.get_by_role(
        "button", name=re.compile("Create")
    ).click()
    expect(page.get_by_text("was created").first).to_be_visible()

    page.goto(shop.addresses["segments_segment_add"])
    page.fill("#id_name", "Loyal abroad")
    root = page.locator(".rule-group").first
    root.get_by_role("button", name="Group", exact=True).click()
    either = page.locator(".rule-group .rule-group").first
    add_condition(page, either, "number of orders")
    either.get_by_role("button", name="Number of orders: add period").click()
    first = figure(page)
    add_condition(page, either, "total spent")
    either.get_by_label("Total spent: comparison").select_option("above")
    expect(page.get_by_text("or spent above the average")).to_be_visible()
    second = figure(page)
    assert second > first > 0

    root.get_by_role("button", name="Group", exact=True).last.click()
    abroad = page.locator(".rule-group .rule-group").nth(1)
    abroad.get_by_label("Group matches").select_option("none")
    add_condition(page, abroad, "country")
    # The value has the focus. An error stands beside the input that it concerns, once the input was left.
    country = abroad.get_by_label("Country: is one of: add a value")
    expect(country).to_be_focused()
    expect(page.get_by_text("The number appears when the rule is complete.")).to_be_visible()
    expect(abroad.locator(".rule-error")).to_have_count(0)
    country.blur()
    expect(abroad.locator(".rule-error")).to_have_text("Enter a value here.")
    expect(country).to_have_attribute("aria-invalid", "true")
    country.fill("FR")
    country.press("Enter")
    third = figure(page)
    expect(abroad.locator(".rule-error")).to_have_count(0)
    assert 0 < third < second
    assert rule_of(page) == LOYAL_ABROAD
    expect(page.locator(".rule-badge").first).to_have_text(f"{first:,}")

    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully").first).to_be_visible()
    shop.manage("refresh_segments")
    expect(page.locator("#filling")).to_have_count(
        0
    )  # the page loads itself again once the members are known

    page.goto(shop.addresses["segments_segment_changelist"] + "?q=loyal-abroad")
    page.get_by_role("link", name="Loyal abroad").first.click()
    page.get_by_role("link", name="People", exact=True).first.click()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export as seen").click()
    downloading.value.save_as(tmp_path / "members.csv")
    rows = list(csv.DictReader((tmp_path / "members.csv").read_text().splitlines()))
    assert len(rows) == third

    page.locator("table.sheet tbody tr").first.get_by_role("link").first.click()
    why = page.locator(".explanations details", has_text="Loyal abroad")
    expect(why).to_be_visible()
    why.locator("summary").click()
    expect(why.get_by_text("spent above the average")).to_be_visible()
    assert why.locator(".yes").count() > 1


def test_a_rule_is_built_and_undone_with_the_keyboard_alone(page: Page, shop: Installation):
    page.goto(shop.addresses["segments_segment_add"])
    keys = page.keyboard

    def reach(words: str) -> None:
        for _ in range(TABS_AT_MOST):
            keys.press("Tab")
            if words in page.evaluate(FOCUSED):
                return
        raise AssertionError(f"no way by Tab to {words!r}")

    def choose(words: str) -> None:
        reach("Condition")
        keys.press("Enter")
        keys.type(words)
        keys.press("Enter")

    page.locator("#id_name").focus()
    keys.type("Loyal abroad, by keys")
    reach("Group")
    keys.press("Enter")  # the focus goes to the new group's button for a condition
    keys.press("Enter")
    keys.type("number of orders")
    keys.press("Enter")
    reach("add period")
    keys.press("Enter")
    choose("total spent")
    reach("Group")
    reach("Group")  # past the inner one: to that of the whole rule
    keys.press("Enter")
    keys.press("Shift+Tab")
    while "Group matches" not in page.evaluate(FOCUSED):
        keys.press("Shift+Tab")
    keys.type("none")
    choose("country")  # the focus goes to its value
    keys.type("FR")
    keys.press("Enter")
    assert rule_of(page) == LOYAL_ABROAD
    assert figure(page) > 0

    reach("Actions: Country")
    keys.press("Enter")
    keys.press("ArrowUp")  # from the first entry of the menu to the last one, Remove
    keys.press("Enter")
    assert rule_of(page) != LOYAL_ABROAD
    keys.press("Control+z")
    assert rule_of(page) == LOYAL_ABROAD


def test_a_long_count_is_done_by_a_worker_and_appears(browser: Browser, shop: Installation, tmp_path: Path):
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps(LOYAL_ABROAD))
    with redis_server(tmp_path / "redis") as redis:
        environment = {**shop.environment, "REDIS_URL": redis.url, "COUNT_PATIENCE": "0"}
        with (
            installation.web(environment, tmp_path / "web.log") as url,
            chromium.context(browser, url, shop.sessions["admin"]) as context,
        ):
            page = context.new_page()
            complaints = chromium.complaints_about(page, url)
            page.goto(shop.addresses["segments_segment_add"])
            page.get_by_role("button", name="JSON").click()
            page.locator("#id_rule").fill(rule.read_text())

            waiting = page.get_by_text("Counting in the background")
            expect(waiting).to_be_visible()
            expect(page.get_by_text("or spent above the average")).to_be_visible()
            with installation.worker(environment, tmp_path / "worker.log"):
                expect(waiting).to_have_count(0, timeout=60_000)  # it has yet to start

            assert figure(page) == int(shop.manage("evaluate", "--rule", str(rule))) > 0
            assert page.locator(".rule-sample a").count()
            expect(page.locator(".rule-badge").first).to_have_text(re.compile("^[0-9,]+$"))
            assert not complaints


def test_the_editor_and_the_json_of_a_rule_stay_in_step(page: Page, shop: Installation):
    page.goto(shop.addresses["segments_segment_add"])
    page.get_by_role("button", name="JSON").click()

    page.locator("#id_rule").fill(json.dumps(LOYAL_ABROAD))
    expect(page.locator(".rule-condition")).to_have_count(3)

    page.locator("#id_rule").fill('{"all": [')
    expect(page.get_by_role("alert")).to_contain_text("not JSON")
    expect(page.locator(".rule-condition")).to_have_count(3)

    page.get_by_role("button", name="Actions: Country").click()
    page.get_by_role("menuitem", name="Duplicate").click()
    assert rule_of(page)["all"][1:] == [LOYAL_ABROAD["all"][1]] * 2  # type: ignore[index]


@pytest.mark.parametrize("moved", ["by dragging", "by its menu", "by keys"])
def test_a_condition_is_moved(page: Page, shop: Installation, moved: str):
    page.goto(shop.addresses["segments_segment_add"])
    page.get_by_role("button", name="JSON").click()
    page.locator("#id_rule").fill('{"all": [{"known": {"is": true}}, {"contact": {"has": "email"}}]}')
    second = page.locator(".rule-condition").nth(1)

    if moved == "by dragging":
        second.locator(".rule-handle").drag_to(page.locator(".rule-condition").first)
    elif moved == "by its menu":
        second.get_by_role("button", name="Actions: E-mail or phone").click()
        page.get_by_role("menuitem", name="Move up").click()
    else:
        second.get_by_role("button", name="Actions: E-mail or phone").press("Alt+ArrowUp")

    assert [list(one) for one in rule_of(page)["all"]] == [["contact"], ["known"]]  # type: ignore[index]


def test_a_visitor_appears_live(page: Page, shop: Installation, tmp_path: Path):
    page.goto(shop.addresses["customers_customer_live"])
    file = tmp_path / "events.csv"
    now = datetime.now(UTC).isoformat()
    file.write_text(f"message_id,anonymous_id,event,occurred_at\nlive-1,just-came-in,Page Viewed,{now}\n")

    shop.manage("import_csv", "events", str(file))

    row = page.locator("table.visitors tr", has_text="1 event").filter(has_text="Page Viewed")
    expect(row.get_by_role("link", name="Visitor, 1 visit")).to_be_visible(timeout=15_000)
