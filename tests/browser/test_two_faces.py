"""What each role sees, how a colleague is invited, and the search of every page."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import chromium, installation
from tests.support.installation import Installation
from tests.support.mail_server import mail_server

PASSWORD = "a long enough secret"
MOST_CLICKS = 4
"""To invite a colleague: from the list of staff to the list with the colleague in it."""

Axe = Callable[[Page], None]


@pytest.mark.parametrize(
    ("who", "sections"),
    [
        ("viewer", ["Shop", "Segments", "Campaigns"]),
        ("marketer", ["Shop", "Segments", "Campaigns"]),
        ("administrator", ["Shop", "Segments", "Campaigns", "Team", "System"]),
    ],
)
def test_each_role_sees_its_sections(who: str, sections: list[str], visit: Callable[[str], Page]):
    page = visit(who)
    page.goto("/admin/segments/segment/")

    shown = [title for title in page.locator("#nav-sidebar h2:visible").all_inner_texts() if title]

    assert shown == sections
    assert page.locator("h1").inner_text().split()[0] == "Segments"


def test_a_colleague_is_invited_by_mail_and_logs_in_as_a_marketer(
    browser: Browser, shop: Installation, tmp_path: Path, axe: Axe
):
    clicks = 0

    def click(page: Page, role: str, name: str) -> None:
        nonlocal clicks
        clicks += 1
        page.get_by_role(role, name=name).first.click()  # type: ignore[arg-type]

    with mail_server() as mail:
        environment = {**shop.environment, "EMAIL_URL": mail.url}
        with (
            installation.web(environment, tmp_path / "web.log") as url,
            chromium.context(browser, url, shop.sessions["administrator"]) as context,
            chromium.context(browser, url, "") as others,
        ):
            page = context.new_page()
            page.goto("/admin/auth/user/")
            click(page, "link", "Invite a colleague")
            page.get_by_label("E-mail address").fill("carla@shop.example")
            page.get_by_label("Role").select_option("Marketer")
            clicks += 2  # to open the choices, and to choose
            click(page, "button", "Save")
            expect(page.get_by_role("row", name="carla@shop.example")).to_contain_text("invited")
            assert clicks <= MOST_CLICKS

            [message] = mail.messages
            link = re.search(r"https?://\S+/choose/\S+", message.get_body().get_content())  # type: ignore[union-attr]
            assert link
            colleague = others.new_page()
            colleague.goto(link[0])
            axe(colleague)
            colleague.get_by_label("New password", exact=False).first.fill(PASSWORD)
            colleague.get_by_label("New password confirmation").fill(PASSWORD)
            colleague.get_by_role("button", name="Set the password").click()
            colleague.get_by_label("Username").fill("carla@shop.example")
            colleague.get_by_label("Password").fill(PASSWORD)
            colleague.get_by_role("button", name="Log in").click()

            expect(colleague.locator("#nav-sidebar h2").first).to_have_text("Shop")
            expect(colleague.locator("#nav-sidebar a", has_text="Campaigns")).to_have_count(1)
            expect(colleague.locator("#nav-sidebar a", has_text="Schedules")).to_have_count(0)
            page.reload()
            row = page.get_by_role("row", name="carla@shop.example")
            expect(row).to_contain_text("Marketer")
            expect(row).not_to_contain_text("never")


def test_the_search_is_used_with_the_keyboard_only(page: Page, axe: Axe):
    page.goto("/admin/customers/customer/")  # a list with a search of its own

    page.keyboard.press("/")
    page.keyboard.type("guests")
    option = page.get_by_role("option", selected=True)
    expect(option).to_contain_text("Guests")
    expect(page.get_by_role("status").filter(has_text="result")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(option).not_to_contain_text("Invited")
    axe(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Search")).to_have_count(0)

    page.keyboard.press("Control+k")
    page.keyboard.type("schedules")
    expect(option).to_contain_text("Schedules")
    page.keyboard.press("Enter")
    page.wait_for_url("**/django_celery_beat/periodictask/")
    expect(page.locator("h1")).to_contain_text("System")
    expect(page.get_by_role("row", name="Verify all segments")).to_contain_text("every day at 03:30")

    page.keyboard.press("/")
    page.keyboard.type("zzzzzz")
    expect(page.get_by_role("status").filter(has_text="Nothing found")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Search")).to_be_focused()
