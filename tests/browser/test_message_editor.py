"""A message of one's own in a browser: written without code, seen as a customer gets it, and sent."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from segments_project.server.bundled_servers import redis_server
from tests.support import chromium, installation
from tests.support.installation import Installation
from tests.support.mail_server import mail_server

MOST_CLICKS = 12
FOCUSED = "(one => one === document.body ? '' : one.ariaLabel || one.innerText)(document.activeElement)"
# A click is each press of a pointer or of an activating key; typed text is free.
COUNT_CLICKS = """
    const count = () => sessionStorage.setItem("clicks", Number(sessionStorage.getItem("clicks")) + 1);
    addEventListener("pointerdown", count, true);
    addEventListener("keydown", ({ key, target }) => {
      const isTyping = target.isContentEditable || target.matches("input:not([type=checkbox]), textarea, select");
      if (key === "Enter" || (key === " " && !isTyping)) count();
    }, true);
"""


def clicks(page: Page) -> int:
    return int(page.evaluate("sessionStorage.getItem('clicks')") or 0)


def blocks_of(page: Page) -> list[dict[str, object]]:
    written: list[dict[str, object]] = json.loads(page.locator("[name=steps-0-blocks]").input_value())
    return written


def kinds(page: Page) -> list[str]:
    return [str(block["type"]) for block in blocks_of(page)]


def add_block(page: Page, kind: str) -> None:
    page.get_by_role("group", name="Add a block").get_by_role("button", name=kind, exact=True).click()


def new_message(page: Page, shop: Installation, segment: str) -> None:
    """Open the empty message of a new campaign, from the list of campaigns."""
    page.goto(shop.addresses["campaigns_campaign_changelist"])
    page.add_init_script(COUNT_CLICKS)
    page.reload()
    page.get_by_role("link", name="New campaign", exact=True).click()
    page.get_by_label("Segment").focus()
    page.keyboard.type(segment)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Start with an empty campaign").click()
    expect(page.get_by_role("group", name="Add a block")).to_be_visible()


def test_a_message_with_a_coupon_and_products_is_written_without_code_and_sent(
    browser: Browser, shop: Installation, tmp_path: Path
):
    with mail_server() as server, redis_server(tmp_path / "redis") as redis:
        environment = {
            **shop.environment, "REDIS_URL": redis.url, "EMAIL_URL": server.url, "SHOP_ADDRESS": "Via Roma 1, Milano",
            "SHOP_URL": "http://shop.example/",
        }  # fmt: skip
        with (
            installation.web(environment, tmp_path / "web.log") as url,
            chromium.context(browser, url, shop.sessions["admin"]) as context,
        ):
            page = context.new_page()
            complaints = chromium.complaints_about(page, url)
            new_message(page, shop, "First-time")
            page.get_by_label("Also for current members").check()
            page.get_by_role("textbox", name="Subject").click()
            page.keyboard.type("Something for you")
            page.get_by_role("textbox", name="Text", exact=True).click()
            page.keyboard.type("Hello ")
            page.get_by_role("button", name="Insert …").click()
            page.keyboard.type("first name")
            page.keyboard.press("Enter")
            page.keyboard.type(", we chose these for you.")
            add_block(page, "Products")
            add_block(page, "Coupon")
            expect(
                page.locator("iframe.message-frame").content_frame.get_by_text("SAMPLE-CODE")
            ).to_be_visible()
            assert "{" not in page.locator(".message-editor").inner_text()
            page.get_by_role("button", name="Save", exact=True).click()
            expect(page.get_by_text("is saved.").first).to_be_visible()
            assert clicks(page) <= MOST_CLICKS

            page.get_by_role("link", name="Start …").click()
            expect(page.get_by_text("The shop's postal address is in the footer.")).to_be_visible()
            page.get_by_role("button", name="Start the campaign").click()
            expect(page.get_by_text("is running.").first).to_be_visible()
            assert not complaints
        send = "from campaigns import tasks; tasks.run_campaigns()"
        replace(shop, environment=environment).manage("shell", "--verbosity", "0", "--command", send)

        sent = [message for message in server.messages if message["Subject"] == "Something for you"]
        assert sent
        for message in sent:
            assert_text_and_html_say_the_same(message)
        assert len({re.findall(r"HELLO-\w+", text_of(message))[0] for message in sent}) == len(sent)


def text_of(message: EmailMessage) -> str:
    part = message.get_body(["plain"])
    assert part
    return "\n".join(part.get_content().splitlines())


def assert_text_and_html_say_the_same(message: EmailMessage) -> None:
    part = message.get_body(["html"])
    assert part
    html = re.sub(r"<(style|title|head)\b.*?</\1>|<!--.*?-->", " ", part.get_content(), flags=re.DOTALL)
    shown = set(re.findall(r"[\w'.-]+", unescape(re.sub(r"<[^>]*>", " ", html))))
    text = re.sub(r"https?://\S+", " ", text_of(message))
    said = set(re.findall(r"[\w'.-]+", text))
    assert re.search(r"^Hello \w.*, we chose these for you\.$", text, re.MULTILINE)
    assert len(re.findall(r"\d EUR", text)) == 3
    assert {"10", "off"} <= shown & said
    # The text names the code; the HTML draws a box around it.
    assert said - shown <= {"Your", "code", "-", "--"}
    assert shown - said == set()


def test_blocks_are_moved_duplicated_removed_and_restored_by_keys_alone(
    page: Page, shop: Installation, axe: Callable[[Page], None]
):
    new_message(page, shop, "Newsletter")
    page.get_by_role("textbox", name="Text", exact=True).fill("Hello")
    keys = page.keyboard

    def reach(words: str, way: str = "Tab") -> None:
        for _ in range(80):
            keys.press(way)
            if words in (page.evaluate(FOCUSED) or ""):
                return
        raise AssertionError(f"no way by {way} to {words!r}")

    reach("Heading")
    keys.press("Enter")
    keys.type("A first word")
    reach("Divider")
    keys.press("Enter")
    assert kinds(page) == ["text", "heading", "divider"]
    reach("Heading, block 2 of 3", "Shift+Tab")
    keys.press("Alt+ArrowUp")
    assert kinds(page) == ["heading", "text", "divider"]
    assert page.evaluate(FOCUSED).startswith("Heading, block 1 of 3")
    keys.press("Alt+ArrowDown")
    keys.press("Alt+ArrowDown")
    keys.press("Alt+ArrowDown")  # there is no place below
    assert kinds(page) == ["text", "divider", "heading"]
    reach("Duplicate: Heading")
    keys.press("Enter")
    reach("Remove: Heading")
    keys.press("Enter")
    assert kinds(page) == ["text", "divider", "heading"]
    expect(page.get_by_role("status").filter(has_text="Heading removed")).to_be_attached()

    for expected in (
        ["text", "divider", "heading", "heading"],
        ["text", "divider", "heading"],
        ["text", "heading", "divider"],
        ["heading", "text", "divider"],
    ):
        keys.press("Control+z")
        assert kinds(page) == expected
    keys.press("Control+Shift+z")
    assert kinds(page) == ["text", "heading", "divider"]
    keys.press("Control+z")

    # A value is a chip: its fallback is changed, and the chip removed, by keys.
    page.get_by_role("textbox", name="Heading", exact=True).focus()
    keys.press("End")
    reach("Insert …", "Shift+Tab")
    keys.press("Enter")
    keys.type("first name")
    keys.press("Enter")
    assert blocks_of(page)[0]["content"] == 'A first word{{ first_name | default: "there" }}'
    keys.type("!")
    reach("first name, else: there")
    keys.press("Enter")
    keys.type("friend")
    keys.press("Enter")
    assert blocks_of(page)[0]["content"] == 'A first word{{ first_name | default: "friend" }}!'
    keys.press("Delete")
    assert blocks_of(page)[0]["content"] == "A first word!"
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= chromium.NARROW


def test_blocks_are_dragged_formatted_and_saved_as_they_are_seen(page: Page, shop: Installation):
    new_message(page, shop, "Newsletter")
    page.get_by_role("textbox", name="Subject").fill("News")
    text = page.get_by_role("textbox", name="Text", exact=True)
    text.click()
    page.keyboard.type("Plain ")
    page.keyboard.press("Control+b")
    page.keyboard.type("bold")
    page.keyboard.press("Control+b")
    page.keyboard.press("Enter")
    page.keyboard.type("our sale {{ city | default: 'here' }}")
    page.keyboard.press("Shift+Home")
    page.get_by_role("button", name="Link (Ctrl+K)").click()
    page.get_by_label("Leads to").fill("javascript:alert(1)")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Write a web address")).to_be_visible()
    page.get_by_role("dialog").get_by_label("Leads to").fill("shop.example/sale?a=1&b=2")
    page.keyboard.press("Enter")
    add_block(page, "Footer")
    page.keyboard.type("Until <Sunday>")
    add_block(page, "Button")
    page.keyboard.type("To the shop")
    assert kinds(page) == ["text", "button", "footer"]  # a footer stays at the end
    last = page.get_by_role("button", name=re.compile("Button, block 2 of 3"))
    last.drag_to(page.locator(".message-block").first, target_position={"x": 30, "y": 4})
    assert kinds(page) == ["button", "text", "footer"]
    add_block(page, "Heading")
    expect(page.locator(".message-block.is-wrong")).to_have_count(0)  # not while somebody writes in it
    page.get_by_role("textbox", name="Subject").click()
    expect(page.locator(".message-block.is-wrong")).to_contain_text("Or remove the block")
    page.get_by_role("button", name="Remove: Heading").click()
    expect(page.locator(".message-chip").filter(has_text="city, else: here")).to_be_visible()

    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("is saved.").first).to_be_visible()
    page.locator("nav.tabs").get_by_role("link", name="Edit").click()
    assert blocks_of(page) == [
        {"type": "button", "content": "To the shop"},
        {
            "type": "text",
            "content": "<p>Plain <strong>bold</strong></p>\n"
            "<p><a href=\"https://shop.example/sale?a=1&amp;b=2\">our sale {{ city | default: 'here' }}</a></p>",
        },
        {"type": "footer", "content": "<p>Until &lt;Sunday&gt;</p>"},
    ]


def test_the_message_is_seen_as_its_reader_would_see_it(page: Page, shop: Installation):
    new_message(page, shop, "Newsletter")
    page.get_by_role("textbox", name="Subject").fill("News")
    page.get_by_role("textbox", name="Text", exact=True).fill("Hello")
    frame = page.locator("iframe.message-frame")
    body = frame.content_frame.locator("body > div").first
    expect(frame.content_frame.get_by_text("Hello")).to_be_visible()
    background = "getComputedStyle(element).backgroundColor"
    light = body.evaluate(f"element => {background}")
    page.get_by_role("button", name="Dark").click()
    expect(body).not_to_have_css("background-color", light)
    page.get_by_role("button", name="Phone").click()
    box = frame.bounding_box()
    assert box
    assert box["width"] <= 375
    page.get_by_role("button", name="Text", exact=True).first.click()
    expect(page.get_by_label("The message as plain text")).to_contain_text("Hello\n\n--")

    shown = page.locator(".message-who")
    first = shown.inner_text()
    shown.click()
    options = page.get_by_role("dialog").locator(".message-option")
    expect(options).not_to_have_count(0)
    assert first.endswith(options.first.locator("span").inner_text())  # the first one shown would get it
    options.nth(1).click()
    expect(shown).not_to_have_text(first)

    page.get_by_role("button", name="Send it to me as a test").click()
    expect(page.get_by_text("Your account has no e-mail address")).to_be_visible()


@pytest.mark.parametrize("way", ["saved", "undone"])
def test_the_source_takes_the_place_of_the_blocks_for_good(page: Page, shop: Installation, way: str):
    new_message(page, shop, "Newsletter")
    page.get_by_role("textbox", name="Subject").fill("News")
    page.get_by_role("textbox", name="Text", exact=True).fill("Hello {{ first_name | default: 'you' }}")
    page.get_by_role("button", name="Advanced").click()
    expect(page.get_by_text("There is no way back from the source to these blocks.")).to_be_visible()
    expect(page.get_by_label("HTML in Liquid")).to_have_text("<p>Hello {{ first_name | default: 'you' }}</p>")
    page.get_by_role("button", name="Edit the source, and give up the blocks").click()
    assert blocks_of(page) == []
    page.get_by_role("textbox", name="HTML", exact=True).fill(
        "<p>By hand, {{ first_name | default: 'you' }}</p>"
    )
    frame = page.locator("iframe.message-frame").content_frame
    expect(frame.get_by_text("By hand, ")).to_be_visible()
    if way == "undone":
        page.get_by_role("textbox", name="Subject").focus()
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        assert kinds(page) == ["text"]
        return
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("is saved.").first).to_be_visible()
    page.locator("nav.tabs").get_by_role("link", name="Edit").click()
    expect(page.get_by_role("textbox", name="HTML", exact=True)).to_have_value(
        "<p>By hand, {{ first_name | default: 'you' }}</p>"
    )
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value(
        "Hello {{ first_name | default: 'you' }}"
    )
