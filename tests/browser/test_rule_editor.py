"""The rule editor as a marketer uses it: in their words, in few clicks, on every screen."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from segments.rules import registry
from tests.support import chromium
from tests.support.installation import Installation

from .test_new_user import figure, rule_of

# Counts each press of a pointer and of a key that activates something, over all pages of a tab. Typed text is free.
COUNT_PRESSES = """
const count = () => { sessionStorage.presses = Number(sessionStorage.presses ?? 0) + 1; };
addEventListener("pointerdown", count, true);
addEventListener("keydown", (event) => {
  if (event.key === "Enter" || (event.key === " " && !event.target.matches("input, textarea"))) count();
}, true);
"""
FOUND_BY = {
    "email": "Has an e-mail address",
    "phone": "Has a phone number",
    "SMS": "Has a phone number",
    "subscriber": "Subscribed to the newsletter",
    "opt-in": "Subscribed to the newsletter",
    "opted out": "Unsubscribed from the newsletter",
    "unsubscribed": "Unsubscribed from the newsletter",
    "GDPR": "Newsletter",
    "consent": "Newsletter",
    "purchased": "Number of orders",
    "bought": "Bought",
    "returning": "Ordered at least twice",
    "repeat": "Ordered at least twice",
    "loyal": "Ordered at least twice",
    "first order": "First order",
    "frequency": "Number of orders",
    "spend": "Total spent",
    "revenue": "Total spent",
    "LTV": "Total spent",
    "lifetime value": "Total spent",
    "VIP": "Top spenders",
    "AOV": "Average order value",
    "average order value": "Average order value",
    "abandoned": "Open cart",
    "basket": "Open cart",
    "checkout": "Started a checkout",
    "wishlist": "Added to a wishlist",
    "price": "Viewed products of a price",
    "browse": "Viewed",
    "viewed": "Viewed",
    "visited": "Visited a page",
    "discount": "Mostly buys with a discount",
    "coupon": "Used a coupon",
    "category": "Bought from a category",
    "brand": "Bought a brand",
    "product": "Bought a product",
    "refund": "Number of refunds",
    "inactive": "Inactive for a while",
    "quiet": "Inactive for a while",
    "churn": "Has not ordered for a while",
    "engagement": "Last activity",
    "lost": "Has not ordered for a while",
    "at risk": "Good customers at risk by RFM",
    "about to": "In the future",
    "soon": "In the future",
    "about to churn": "Will soon be inactive",
    "will be": "In the future",
    "future": "In the future",
    "win back": "Has not ordered for a while",
    "recency": "RFM scores",
    "RFM": "RFM scores",
    "new": "New customers and visitors",
    "lead": "Has never ordered",
    "prospect": "Has never ordered",
    "anonymous": "Anonymous visitors",
    "birthday": "Birthday",
    "city": "City",
    "country": "Country",
    "language": "Language",
    "source": "Source",
    "UTM": "Source",
    "campaign": "Came by a campaign",
    "referrer": "Came from a page",
    "tag": "Has a tag",
    "A/B test": "Random bucket",
    "segment": "In segment",
    "contry": "Country",
}  # fmt: skip
# What is not recorded, and the filter that comes nearest.
NOT_RECORDED = {
    "opened": "Last activity",
    "clicked": "Last activity",
    "device": "Number of events",
    "mobile": "Has a phone number",
    "gender": "Attribute",
}


@pytest.fixture
def counted(page: Page) -> Page:
    """A page of a superuser on which presses are counted."""
    page.add_init_script(COUNT_PRESSES)
    return page


def presses(page: Page) -> int:
    return int(page.evaluate("sessionStorage.presses"))


def choose(page: Page, words: str) -> None:
    """Add a condition to the rule. The focus goes to its value."""
    page.get_by_role("button", name="Condition", exact=True).last.click()
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def show(page: Page, shop: Installation, rule: object) -> None:
    """Open the editor with a rule."""
    page.goto(shop.addresses["segments_segment_add"])
    page.get_by_role("button", name="JSON").click()
    page.locator("#id_rule").fill(json.dumps(rule))


def begin(page: Page, shop: Installation, name: str) -> None:
    """Go from the list to the form of a new segment and name it."""
    page.goto(shop.addresses["segments_segment_changelist"])
    page.locator(f'a[href$="{shop.addresses["segments_segment_add"]}"]').first.click()
    expect(page.locator("#id_name")).to_be_focused()
    page.keyboard.type(name)


def save(page: Page, sentence: str) -> None:
    """Save the segment. The page after it says who is in."""
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully").first).to_be_visible()
    expect(page.get_by_text(sentence).first).to_be_visible()


def test_buyers_of_two_countries_who_may_be_written_to_take_ten_clicks(counted: Page, shop: Installation):
    begin(counted, shop, "Buyers nearby")
    counted.get_by_role("button", name="Country", exact=True).click()
    for country in ("France", "Germany"):
        counted.keyboard.type(country)
        counted.keyboard.press("Enter")
    choose(counted, "number of orders")
    counted.keyboard.type("2")
    counted.get_by_role("button", name="Number of orders: add period").click()
    counted.keyboard.type("60")
    choose(counted, "not unsubscribed")

    assert rule_of(counted) == {
        "all": [
            {"country": {"in": ["FR", "DE"]}},
            {"order_count": {"at_least": 2, "during": {"within_last": "60d"}}},
            {"none": [{"newsletter": {"is": "unsubscribed"}}]},
        ]
    }
    save(
        counted,
        "Everyone who has a country that is one of “France”, “Germany” and placed at least 2 orders in the last 60 days"
        " and has not unsubscribed from the newsletter",
    )
    assert presses(counted) <= 10


def test_quiet_top_spenders_take_six_clicks(counted: Page, shop: Installation):
    begin(counted, shop, "Quiet top spenders")
    choose(counted, "top spenders")
    choose(counted, "quiet")
    counted.keyboard.type("45")

    assert rule_of(counted) == {
        "all": [{"total_spent": {"top_percent": 10}}, {"last_activity": {"not_within_last": "45d"}}]
    }
    save(counted, "Everyone who spent among the top 10 % and was last active longer than 45 days ago")
    assert presses(counted) <= 6


def test_filters_are_found_by_the_words_of_marketers(page: Page, shop: Installation):
    page.goto(shop.addresses["segments_segment_add"])
    page.get_by_role("button", name="Condition", exact=True).click()
    search = page.get_by_role("searchbox", name="Search the filters")
    said = page.get_by_role("dialog").locator(".rule-said")
    found = {}
    for words in FOUND_BY:
        search.fill(words)
        found[words] = page.locator(".rule-option strong").first.inner_text()
    assert found == FOUND_BY

    for words, nearest in NOT_RECORDED.items():
        search.fill(words)
        expect(said).to_have_count(1)
        assert page.locator(".rule-option strong").first.inner_text() == nearest
    search.fill("xyzzy")
    expect(said).to_have_text("No filter was found for “xyzzy”. Try another word.")
    search.fill("never bought")
    assert page.locator(".rule-option strong").first.inner_text() == "Has never ordered"


def test_every_filter_has_an_opposite_in_place(page: Page, shop: Installation):
    conditions = [{name: cls.example} for name, cls in registry.items()]
    own = page.locator(".rule-condition:not(.rule-condition .rule-condition)")
    show(page, shop, {"any": conditions})

    for place, (name, cls) in enumerate(registry.items()):
        condition = page.locator(f'.rule-condition[data-path="rule.any[{place}].{name}"]')
        if verbs := condition.get_by_role("button", name=cls.verbs[1], exact=True).all():
            verbs[0].click()
            continue
        comparison = condition.get_by_label(f"{cls.label}: comparison", exact=True)
        opposite = comparison.locator("option:checked").evaluate(
            "(one) => one.value === 'in' ? 'not_in' : one.value === 'is' ? 'is_not' : `!${one.value}`"
        )
        comparison.select_option(opposite)
    expect(own).to_have_count(len(registry))
    opposites = rule_of(page)
    assert figure(page) > 0

    # Written as JSON and read again, each is one condition still.
    show(page, shop, opposites)
    expect(page.locator(".rule-group:not(.rule-condition .rule-group)")).to_have_count(1)
    expect(own).to_have_count(len(registry))
    assert rule_of(page) == opposites
    for condition, example in zip(opposites["any"], conditions, strict=True):  # type: ignore[index]
        assert condition == {"none": [example]} or {"is_not", "not_in"} & set(*condition.values())


def test_values_have_names_and_customers_and_unknown_ones_are_told(
    page: Page, shop: Installation, axe: Callable[[Page], None]
):
    show(page, shop, {"country": {"in": ["FR", "Germny"]}})
    condition = page.locator(".rule-condition")

    expect(condition.locator(".rule-chip").first).to_have_text(re.compile("^France"))
    expect(condition.get_by_role("status")).to_contain_text(
        "No customer has “Germny”. Do you mean Germany (DE"
    )
    offered = condition.get_by_role("listbox").get_by_role("option")
    condition.get_by_label("Country: is one of: add a value").click()
    expect(offered.first).to_contain_text(re.compile(r"[\d,]+ customer"))
    axe(page)  # narrow and dark from here on
    page.keyboard.press("Escape")
    condition.get_by_role("button", name=re.compile("^Germany")).click()
    expect(condition.get_by_role("status")).to_be_hidden()
    assert rule_of(page) == {"country": {"in": ["FR", "DE"]}}

    condition.get_by_label("Country: is one of: add a value").fill("Ita")
    expect(offered.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    assert rule_of(page) == {"country": {"in": ["FR", "DE", "IT"]}}
    # On a phone, the count stays in view beside whichever field is edited.
    figure(page)
    expect(page.locator(".rule-count .figure")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= chromium.NARROW


def test_months_and_percentages_are_written_as_people_do(page: Page, shop: Installation):
    share = {"discounted_order_share": {"at_least": 0.5, "during": {"within_last": "60d"}}}
    show(page, shop, share)

    expect(page.get_by_label("Share of discounted orders: at least", exact=True)).to_have_value("50")
    page.get_by_label("Share of discounted orders: at least", exact=True).fill("7")
    span = page.get_by_label(re.compile("in the last: unit"))
    expect(span).to_have_value("d")
    page.get_by_label(re.compile("in the last$")).fill("3")
    span.select_option("months")
    expect(page.get_by_text("= 91 days")).to_be_visible()
    written = rule_of(page)
    assert written == {"discounted_order_share": {"at_least": 0.07, "during": {"within_last": "91d"}}}

    show(page, shop, written)
    expect(span).to_have_value("months")
    span.select_option("years")
    assert rule_of(page) == {"discounted_order_share": {"at_least": 0.07, "during": {"within_last": "1095d"}}}


def test_the_menu_of_a_condition_is_worked_by_keys_and_accessible(
    page: Page, shop: Installation, axe: Callable[[Page], None]
):
    show(page, shop, {"all": [{"known": {"is": True}}, {"total_spent": {"top_percent": 10}}]})
    expect(page.get_by_text("of customers who bought")).to_be_visible()
    button = page.get_by_role("button", name="Actions: Total spent")
    button.press("Enter")
    expect(page.get_by_role("menuitem", name="Move up")).to_be_focused()
    axe(page)
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(page.get_by_role("menuitem")).to_have_count(0)

    button.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert rule_of(page) == {"all": [{"known": {"is": True}}]}


def test_a_rule_is_asked_in_the_future(page: Page, shop: Installation, axe: Callable[[Page], None]):
    page.goto(shop.addresses["segments_segment_add"])
    choose(page, "in the future")
    ahead = page.locator(".rule-condition").filter(has=page.locator(".rule-group"))
    page.keyboard.type("14")
    inner = ahead.locator(".rule-group")
    expect(inner.locator(".empty")).to_contain_text("Add a condition")
    expect(page.locator(".rule-count")).to_contain_text("when the rule is complete")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(inner.locator(".rule-error")).to_have_text("Add a condition here.")
    expect(inner.get_by_role("button", name="Condition", exact=True)).to_be_focused()

    # The nested rule is built in place, as a group is.
    inner.get_by_role("button", name="Condition", exact=True).click()
    page.keyboard.type("quiet")
    page.keyboard.press("Enter")
    page.keyboard.type("60")
    inner.get_by_role("button", name="Condition", exact=True).click()
    page.keyboard.type("known")
    page.keyboard.press("Enter")
    quiet = {"last_activity": {"not_within_last": "60d"}}
    known = {"known": {"is": True}}
    rule = {"ahead": {"in": "14d", "rule": {"all": [quiet, known]}}}
    assert rule_of(page) == {"all": [rule]}
    expect(page.locator(".rule-sentence")).to_contain_text("will be, in 14 days if nothing more is recorded")
    # Each condition is counted for that instant, alone.
    assert figure(page) > 0
    for path in ("", ".rule.all[0].last_activity", ".rule.all[1].known"):
        expect(page.locator(f'[data-count="rule.all[0].ahead{path}"]')).to_have_text(re.compile(r"^[\d,]+$"))

    # Keys move a condition out of the nested rule and back; undo goes back through all changes.
    inner.get_by_role("button", name="Actions: Known").press("Alt+ArrowDown")
    assert rule_of(page) == {"all": [{"ahead": {"in": "14d", "rule": {"all": [quiet]}}}, known]}
    page.keyboard.press("Alt+ArrowUp")
    assert rule_of(page) == {"all": [rule]}
    ahead.get_by_role("button", name="will not match").click()
    assert rule_of(page) == {"all": [{"none": [rule]}]}
    axe(page)
    page.get_by_role("button", name="Undo").click()
    assert rule_of(page) == {"all": [rule]}

    # An error is shown at its input.
    inner.get_by_label(re.compile("longer ago than$")).fill("")
    page.keyboard.press("Tab")
    expect(inner.locator(".rule-condition > .rule-error")).to_have_text("Enter a value here.")
    inner.get_by_label(re.compile("longer ago than$")).fill("60")
    ahead.get_by_label("In the future: in", exact=True).fill("401")
    page.keyboard.press("Tab")
    expect(ahead.locator(":scope > .rule-error")).to_contain_text("400 days")

    # What is asked now can be asked in the future, and the other way round.
    show(page, shop, {"all": [known, quiet]})
    page.get_by_role("button", name="Actions: Last activity").click()
    page.get_by_role("menuitem", name="Ask in the future").click()
    page.keyboard.type("3")
    assert rule_of(page) == {"all": [known, {"ahead": {"in": "3d", "rule": quiet}}]}
    ahead.get_by_role("button", name="Actions: In the future").click()
    page.get_by_role("menuitem", name="Duplicate").click()
    expect(ahead).to_have_count(2)
    ahead.last.get_by_role("button", name="Actions: In the future").click()
    page.get_by_role("menuitem", name="Ask now").click()
    asked = {"ahead": {"in": "3d", "rule": quiet}}
    assert rule_of(page) == {"all": [known, asked, quiet]}

    # A copied condition is added wherever the focus is.
    page.get_by_role("button", name="Actions: Known").focus()
    page.keyboard.press("Control+C")
    ahead.get_by_role("button", name="Condition", exact=True).focus()
    page.keyboard.press("Control+V")
    assert rule_of(page) == {"all": [known, {"ahead": {"in": "3d", "rule": {"all": [quiet, known]}}}, quiet]}
    expect(ahead.get_by_role("button", name="Actions: Known")).to_be_focused()


def test_members_of_a_segment_are_asked_for_now_for_later_or_by_their_entry(page: Page, shop: Installation):
    show(page, shop, {"in_segment": {"is": "lost"}})
    when = page.get_by_label("In segment: when")
    expect(when).to_have_value("")

    when.select_option("in")
    page.keyboard.type("7")
    assert rule_of(page) == {"in_segment": {"is": "lost", "in": "7d"}}
    expect(page.get_by_role("button", name="will be", exact=True)).to_be_visible()
    figure(page)
    when.select_option("entered")
    page.keyboard.type("8")
    assert rule_of(page) == {"in_segment": {"is": "lost", "entered": {"within_last": "8d"}}}
    when.select_option("")
    assert rule_of(page) == {"in_segment": {"is": "lost"}}
