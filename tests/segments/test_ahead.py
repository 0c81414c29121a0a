"""Rules that are asked ahead: kept exact as the clock moves and as the segments that they ask are edited."""

import csv
import io
import json
import re
import sys
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError
from django.urls import reverse

from segments import future_segments, segment_store
from segments.models import Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from segments.refresh.write import Outcome
from segments.rules import RuleError, parse
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
LAPSED = {"last_order": {"not_within_last": "30d"}}
SOON = {"in_segment": {"is": "lapsed", "in": "7d"}}
EDITED = {"last_order": {"not_within_last": "20d"}}
BROKEN: dict[str, Any] = {"no_such_filter": {}}


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def soon() -> Segment:
    """Forty customers, of whom each ordered a day before the next, who lapse after 30 days."""
    rows = [f"o{n},c{n},{(NOON - days(n + 0.5)).isoformat()},10" for n in range(40)]
    shop.orders(*rows)
    shop.segment("lapsed", LAPSED)
    soon = shop.segment("soon", SOON)
    refresh(0 * MINUTE)
    assert shop.members("soon") == customers(23, 40)
    return soon


def customers(first: int, last: int) -> list[str]:
    return sorted(f"c{n}" for n in range(first, last))


def refresh(later: timedelta) -> dict[str, Outcome]:
    _, outcomes = refresh_all(NOON + later)
    return {outcome.segment.slug: outcome for outcome in outcomes}


def verdict(slug: str) -> str:
    """Compare the stored members with a full evaluation."""
    [found] = verification.verify(Segment.objects.filter(slug=slug))
    return found.skipped or ("right" if found.is_correct else f"wrong: {found}")


def moved(slug: str) -> set[tuple[str, str, str]]:
    return {change for change in shop.changes(slug) if change[2] != "initial"}


def edit(slug: str, **fields: Any) -> None:
    segment = Segment.objects.get(slug=slug)
    for name, value in fields.items():
        setattr(segment, name, value)
    segment_store.save_segment(segment)


def refusal(slug: str, rule: Any) -> str:
    with pytest.raises(RuleError) as refused:
        shop.segment(slug, rule)
    return str(refused.value)


# -- The clock moves


def test_customers_enter_when_the_later_instant_reaches_their_border(soon: Segment, clock: Any) -> None:
    clock.move_to(NOON + days(2))
    run, _ = refresh_all(NOON + days(2))

    # Only those whose answer can differ are evaluated: two of each segment.
    assert run.evaluated == 4
    assert moved("soon") == {("c21", "entered", "time"), ("c22", "entered", "time")}
    assert moved("lapsed") == {("c28", "entered", "time"), ("c29", "entered", "time")}
    assert verdict("soon") == "right"


def test_who_enters_within_the_span_was_a_member_ahead_of_it(soon: Segment, clock: Any) -> None:
    promised = set(shop.members("soon"))
    clock.move_to(NOON + days(7))

    refresh(days(7))

    assert set(shop.members("lapsed")) == promised


def test_an_order_ends_what_was_to_come(soon: Segment, clock: Any) -> None:
    clock.move_to(NOON + MINUTE)
    shop.orders(f"new,c25,{NOON.isoformat()},10")

    refresh(MINUTE)

    assert moved("soon") == {("c25", "left", "activity")}
    assert verdict("soon") == "right"


def test_the_segments_of_coming_changes_have_the_customers_who_are_announced(soon: Segment) -> None:
    shop.segment("recent", {"last_order": {"within_last": "30d"}})
    refresh(0 * MINUTE)
    for slug, kind in (("lapsed", "entered"), ("recent", "left")):
        made = future_segments.get_or_create_segment(future_segments.ComingChange(slug, kind, days(7)))
        refresh(0 * MINUTE)
        announced = csv.DictReader(io.StringIO(shop.command("upcoming", slug, "--within", "7d")))

        assert shop.members(made.slug) == customers(23, 30)
        assert {(row["customer_id"], row["change"]) for row in announced} == {
            (who, kind) for who in customers(23, 30)
        }


# -- The segment that is asked changes


def test_an_edit_of_the_asked_segment_evaluates_everybody_again(soon: Segment, clock: Any) -> None:
    edit("lapsed", rule=EDITED)
    assert verdict("soon") == "edited since its refresh"

    clock.move_to(NOON + MINUTE)
    refresh(MINUTE)

    assert shop.members("soon") == customers(13, 40)
    assert moved("soon") == {(who, "entered", "definition") for who in customers(13, 23)}
    assert verdict("soon") == "right"


def test_a_paused_segment_is_asked_for_its_stored_members(soon: Segment, clock: Any) -> None:
    edit("lapsed", is_active=False)
    assert verdict("soon") == "edited since its refresh"

    clock.move_to(NOON + days(2))
    refresh(days(2))
    assert shop.members("soon") == shop.members("lapsed") == customers(30, 40)
    assert {cause for _, _, cause in moved("soon")} == {"definition"}
    assert verdict("soon") == "right"

    edit("lapsed", is_active=True)
    refresh(days(2) + MINUTE)
    assert shop.members("soon") == customers(21, 40)
    assert verdict("soon") == "right"


def test_a_failing_segment_is_asked_for_its_stored_members(soon: Segment, clock: Any) -> None:
    Segment.objects.filter(slug="lapsed").update(rule=BROKEN)  # as after an upgrade that removed a filter

    clock.move_to(NOON + MINUTE)
    assert refresh(MINUTE)["lapsed"].error
    assert shop.members("soon") == customers(30, 40)
    assert {cause for _, _, cause in moved("soon")} == {"definition"}
    assert verdict("soon") == "right"

    edit("lapsed", rule=LAPSED)
    refresh(2 * MINUTE)
    refresh(3 * MINUTE)
    assert shop.members("soon") == customers(23, 40)
    assert verdict("soon") == "right"


def test_an_edit_of_what_the_asked_segment_asks_counts_too(soon: Segment, clock: Any) -> None:
    shop.segment("later", {"in_segment": {"is": "soon", "in": "3d"}})
    refresh(MINUTE)
    assert shop.members("later") == customers(20, 40)

    edit("lapsed", rule=EDITED)
    clock.move_to(NOON + 2 * MINUTE)
    refresh(2 * MINUTE)

    assert shop.members("later") == customers(10, 40)
    assert verdict("later") == "right"


def test_an_edit_of_the_name_of_the_asked_segment_evaluates_nobody(soon: Segment) -> None:
    edit("lapsed", name="Lapsed customers")

    run, _ = refresh_all(NOON + MINUTE)

    assert run.evaluated == 0
    assert verdict("soon") == "right"


def test_a_fixed_list_has_no_future(soon: Segment) -> None:
    [customer], _ = segment_store.find_customers(["c5"])
    segment_store.create_fixed_list("chosen", "Chosen", [customer], NOON)
    shop.segment("chosen-soon", {"in_segment": {"is": "chosen", "in": "30d"}})

    refresh(MINUTE)

    assert shop.members("chosen-soon") == ["c5"]
    assert verdict("chosen-soon") == "right"


def test_a_segment_that_is_asked_ahead_cannot_be_deleted(soon: Segment) -> None:
    answer = ApiClient().delete("segments/lapsed/", status=409)

    assert "soon" in answer["message"]
    segment_store.delete_segments([soon])
    ApiClient().delete("segments/lapsed/")


# -- What is refused


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        (
            {"all": [{"ahead": {"in": "399d", "rule": {"ahead": {"in": "25h", "rule": LAPSED}}}}]},
            "rule.all[0].ahead",
            "400 days",
        ),
        ({"ahead": {"in": "401d", "rule": LAPSED}}, "rule.ahead.in", "400 days"),
        ({"ahead": {"in": "0d", "rule": LAPSED}}, "rule.ahead.in", ""),
        ({"ahead": {"in": "7d", "rule": {"any": []}}}, "rule.ahead.rule.any", "empty"),
        (
            {"ahead": {"in": "7d", "rule": {"last_order": {"ever": "x"}}}},
            "rule.ahead.rule.last_order.ever",
            "",
        ),
        ({"ahead": {"in": "7d"}}, "rule.ahead.rule", "missing"),
        (
            {"in_segment": {"is": "lapsed", "in": "7d", "entered": {"ever": True}}},
            "rule.in_segment",
            "at most one of in, entered",
        ),
    ],
    ids=json.dumps,
)
def test_a_rule_that_cannot_be_asked_ahead_is_refused_with_its_path(
    rule: Any, path: str, message: str
) -> None:
    with pytest.raises(RuleError) as refused:
        parse(rule)

    assert refused.value.path == path
    assert message in refused.value.message


def test_nested_spans_add_up_to_400_days() -> None:
    rule = {"ahead": {"in": "399d", "rule": {"ahead": {"in": "24h", "rule": LAPSED}}}}

    assert parse(rule).span_ahead() == days(400)


def test_spans_add_up_over_segments(soon: Segment) -> None:
    shop.segment("much-later", {"in_segment": {"is": "soon", "in": "393d"}})

    assert "400 days" in refusal("too-late", {"in_segment": {"is": "soon", "in": "394d"}})
    with pytest.raises(RuleError, match=r"much-later.*400 days"):
        edit("soon", rule={"in_segment": {"is": "lapsed", "in": "8d"}})


def test_a_rule_has_at_most_100_conditions_with_those_that_it_asks() -> None:
    def several(count: int) -> dict[str, Any]:
        return {"any": [LAPSED] * count}

    shop.segment("lapsed", several(99))
    shop.segment("soon", SOON)

    with pytest.raises(RuleError, match=r"the rule of soon.*100 conditions"):
        edit("lapsed", rule=several(100))
    assert "100 conditions" in refusal("more", {"all": [SOON, LAPSED]})
    # A segment that is asked for its stored members counts once.
    shop.segment("now", {"all": [{"in_segment": {"is": "lapsed"}}, LAPSED]})


def test_circles_through_a_rule_that_is_asked_ahead_are_refused(soon: Segment) -> None:
    for rule in (
        {"ahead": {"in": "1d", "rule": {"none": [{"in_segment": {"is": "soon"}}]}}},
        {"in_segment": {"is": "soon", "in": "1d"}},
    ):
        with pytest.raises(RuleError, match=r"circle: .*lapsed"):
            edit("lapsed", rule=rule)
    assert "no segment 'nobody'" in refusal(
        "one", {"ahead": {"in": "1d", "rule": {"in_segment": {"is": "nobody"}}}}
    )


# -- Where rules are evaluated


def evaluate(rule: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(rule)))
    return sorted(shop.command("evaluate", "--rule", "-", "--ids", *arguments).split())


def test_a_past_instant_asks_the_rules_of_other_segments(soon: Segment, monkeypatch: Any) -> None:
    past = ("--at", (NOON - days(5)).isoformat())
    members = {"in_segment": {"is": "lapsed"}}

    assert evaluate(members, monkeypatch) == customers(30, 40)
    assert evaluate(members, monkeypatch, *past) == customers(35, 40)
    assert evaluate(SOON, monkeypatch, *past) == customers(28, 40)
    assert evaluate({"ahead": {"in": "1w", "rule": LAPSED}}, monkeypatch, *past) == customers(28, 40)
    with pytest.raises(CommandError, match=r"rule\.in_segment\.in"):
        evaluate({"in_segment": {"is": "lapsed", "in": "soon"}}, monkeypatch, *past)


def test_live_segments_follow_an_edit_of_the_segment_they_ask(soon: Segment) -> None:
    client = ApiClient()

    def live() -> list[str]:
        answer = client.get("customers/c15/segments/?live=true")
        return sorted(one["slug"] for one in answer["segments"])

    assert live() == []
    edit("lapsed", rule=EDITED)
    assert live() == ["soon"]


def test_pages_of_the_shop_follow_an_edit_of_a_segment_that_is_not_public() -> None:
    shop.events(f"m1,,a1,View,{(NOON - days(10)).isoformat()}")
    shop.segment("quiet", {"last_activity": {"not_within_last": "30d"}})
    public = shop.segment("soon-quiet", {"in_segment": {"is": "quiet", "in": "7d"}})
    Segment.objects.filter(pk=public.pk).update(is_public=True)
    refresh(0 * MINUTE)
    client = ApiClient("visitors:read")

    assert client.get("visitors/a1/segments/")["segments"] == []
    edit("quiet", rule={"last_activity": {"not_within_last": "15d"}})
    assert client.get("visitors/a1/segments/")["segments"] == ["soon-quiet"]
    edit("quiet", is_active=False)  # then its stored members count
    assert client.get("visitors/a1/segments/")["segments"] == []


def test_each_condition_is_counted_at_the_instant_at_which_it_is_asked(
    soon: Segment, admin_client: Any
) -> None:
    inner = {"all": [{"last_order": {"within_last": "10d"}}, {"in_segment": {"is": "lapsed"}}]}
    rule = {"any": [SOON, {"ahead": {"in": "3d", "rule": inner}}]}
    body = json.dumps({"rule": rule})

    answer = admin_client.post(
        reverse("admin:segments_segment_rule_details"), body, content_type="application/json"
    ).json()
    previewed = ApiClient().post("segments/preview/", {"rule": rule})

    counted = {
        "rule.any[0].in_segment": 17,
        "rule.any[1].ahead": 0,
        "rule.any[1].ahead.rule.all[0].last_order": 7,
        "rule.any[1].ahead.rule.all[1].in_segment": 13,
    }
    assert answer["conditions"] == counted
    assert {one["path"]: one["count"] for one in previewed["conditions"]} == counted
    assert previewed["count"] == 17


def test_many_conditions_are_counted_in_few_queries(
    soon: Segment, admin_client: Any, django_assert_max_num_queries: Any
) -> None:
    body = json.dumps({"rule": {"any": [SOON] * 40}})

    with django_assert_max_num_queries(20):
        answer = admin_client.post(
            reverse("admin:segments_segment_rule_details"), body, content_type="application/json"
        )

    assert set(answer.json()["conditions"].values()) == {17}


def test_an_explanation_shows_the_rule_that_is_asked_and_its_instant(soon: Segment) -> None:
    shop.segment("known-soon", {"all": [{"known": {"is": True}}, SOON]})

    lines = shop.command("explain", "c25", "known-soon").splitlines()

    for line, expected in zip(
        [line for line in lines if line.lstrip()[0] in "✓✗"],
        [
            "✗ all of these",
            "  ✗ is known: no",
            "  ✓ will be, in 7 days if nothing more is recorded, a customer who is in the segment “lapsed”: 2026-03-22",
            "    ✓ is in the segment “lapsed”",
            "      ✓ placed their last order longer than 30 days ago: 2026-02-18",
        ],
        strict=True,
    ):
        assert line.startswith(expected)


def test_the_page_of_a_customer_explains_the_rules_that_are_asked(admin_client: Any) -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,30")
    shop.segment("thrifty", {"total_spent": {"below": "average"}})
    shop.segment("lapsed", {"all": [LAPSED, {"in_segment": {"is": "thrifty"}}]})
    shop.segment("soon", {"in_segment": {"is": "lapsed", "in": "20d"}})
    [customer], _ = segment_store.find_customers(["c1"])

    page = admin_client.get(reverse("admin:customers_customer_explain", args=[customer]), {"segment": "soon"})

    words = " ".join(re.sub(r"<[^>]*>", " ", page.content.decode()).split())
    assert "✓ Met: is in the segment “Thrifty” ✓ Met: spent below the average" in words


def test_rules_that_are_asked_ahead_are_exported_and_imported(soon: Segment, tmp_path: Any) -> None:
    shop.segment("in-a-week", {"ahead": {"in": "1w", "rule": {"all": [LAPSED, SOON]}}})
    exported = shop.command("export_segments")
    segment_store.delete_segments(Segment.objects.all())
    file = tmp_path / "segments.json"
    file.write_text(exported, encoding="utf-8")

    shop.command("import_segments", file)

    assert shop.command("export_segments") == exported
