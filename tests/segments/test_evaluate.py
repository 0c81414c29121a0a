"""`evaluate` counts or lists the customers that a rule matches at an instant, and changes nothing."""

import io
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError

from customers.facts import relations
from customers.models import FactsAsOf
from segments.models import Segment
from tests.support import shop

pytestmark = pytest.mark.django_db

BUYERS = {"order_count": {"at_least": 1}}
REGULARS = {"order_count": {"at_least": 2}}


@pytest.fixture
def small_shop() -> None:
    """c1 ordered twice, c2 once, Ünal never; and there is a visitor. The last orders lie after NOON."""
    shop.customers("Ünal,u@example.org,2026-01-01", header="customer_id,email,first_seen")
    shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-20,20", "o3,c2,2026-03-18,5")
    shop.events("m1,,a1,View,2026-03-02")


def rule_file(folder: Path, rule: object) -> Path:
    file = folder / "rule.json"
    file.write_text(rule if isinstance(rule, str) else json.dumps(rule), encoding="utf-8")
    return file


@pytest.mark.usefixtures("small_shop")
def test_a_rule_in_a_file_is_counted_or_listed_by_customer_id(tmp_path: Path) -> None:
    assert shop.command("evaluate", "--rule", rule_file(tmp_path, BUYERS)) == "2\n"
    assert shop.command("evaluate", "--rule", rule_file(tmp_path, BUYERS), "--ids") == "c1\nc2\n"
    nobody = rule_file(tmp_path, {"none": [BUYERS]})
    assert shop.command("evaluate", "--rule", nobody, "--ids").splitlines() == ["anonymous:a1", "Ünal"]


@pytest.mark.usefixtures("small_shop")
def test_a_list_of_rules_gives_a_line_for_each(tmp_path: Path) -> None:
    file = rule_file(tmp_path, [BUYERS, REGULARS, {"none": [BUYERS]}])

    assert shop.command("evaluate", "--rule", file) == "2\n1\n2\n"
    listed = shop.command("evaluate", "--rule", file, "--ids").splitlines()
    assert [json.loads(line) for line in listed] == [["c1", "c2"], ["c1"], ["anonymous:a1", "Ünal"]]
    assert shop.command("evaluate", "--rule", rule_file(tmp_path, [REGULARS]), "--ids") == '["c1"]\n'
    assert shop.command("evaluate", "--rule", rule_file(tmp_path, [])) == ""


@pytest.mark.usefixtures("small_shop")
def test_a_rule_is_read_from_standard_input(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(BUYERS)))

    assert shop.command("evaluate", "--rule", "-") == "2\n"


@pytest.mark.usefixtures("small_shop")
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert shop.command("evaluate", "--rule", rule_file(tmp_path, "\ufeff" + json.dumps(BUYERS))) == "2\n"


@pytest.mark.usefixtures("small_shop")
def test_a_past_instant_ignores_later_records(tmp_path: Path) -> None:
    file = rule_file(tmp_path, [BUYERS, REGULARS, {"known": {"is": False}}, {"known": {"is": True}}])

    def counts(at: str) -> list[int]:
        return [int(line) for line in shop.command("evaluate", "--rule", file, "--at", at).split()]

    assert counts("2025-12-31T23:59:59Z") == [0, 0, 0, 0]
    assert counts("2026-01-01T00:00:00Z") == [0, 0, 0, 1]
    assert counts("2026-03-01") == [1, 0, 1, 1]
    assert counts("2026-03-17T23:59:59.999999") == [1, 0, 2, 1]
    assert counts("2026-03-18") == [2, 0, 3, 1]
    assert counts("2999-01-01") == [2, 1, 3, 1]


@pytest.mark.usefixtures("small_shop")
def test_an_instant_without_an_offset_is_in_the_shops_zone(settings, tmp_path: Path) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    file = rule_file(tmp_path, BUYERS)

    assert shop.command("evaluate", "--rule", file, "--at", "2026-03-01T00:59:59") == "0\n"
    assert shop.command("evaluate", "--rule", file, "--at", "2026-03-01T01:00") == "1\n"


@pytest.mark.usefixtures("small_shop")
def test_a_segment_is_evaluated_by_its_rule_not_its_members() -> None:
    shop.segment("regulars", REGULARS)

    assert shop.command("evaluate", "--segment", "regulars", "--ids") == "c1\n"
    assert shop.command("evaluate", "--segment", "regulars", "--at", "2026-03-15") == "0\n"


@pytest.mark.usefixtures("small_shop")
def test_evaluating_changes_nothing(tmp_path: Path) -> None:
    shop.segment("regulars", {"total_spent": {"above": "average"}})
    shop.command("refresh_segments", "--at", "2026-03-25")
    before = shop.rows_of(*shop.RECORDS, *shop.MEMBERS)

    for at in ("2026-03-02", "2026-03-15", "2026-04-30"):
        for options in ([], ["--ids"]):
            shop.command("evaluate", "--segment", "regulars", "--at", at, *options)
            shop.command("evaluate", "--rule", rule_file(tmp_path, REGULARS), "--at", at, *options)

    assert shop.rows_of(*shop.RECORDS, *shop.MEMBERS) == before


@pytest.mark.usefixtures("small_shop")
def test_queued_facts_are_updated_before_the_evaluation(tmp_path: Path) -> None:
    shop.orders("o4,c9,2026-03-01,1", update_facts=False)

    assert shop.command("evaluate", "--rule", rule_file(tmp_path, BUYERS)) == "3\n"


@pytest.mark.usefixtures("small_shop")
def test_facts_as_of_a_past_instant_are_those_of_the_records_up_to_it() -> None:
    at = datetime(2026, 3, 18, tzinfo=UTC)

    assert relations.prepare_relation(at) == "facts_as_of"
    mixed = sorted(shop.rows_of(FactsAsOf)["FactsAsOf"])
    relations.prepare_recomputed_relation(at)
    assert sorted(shop.rows_of(FactsAsOf)["FactsAsOf"]) == mixed
    assert relations.prepare_relation(datetime(2026, 3, 20, tzinfo=UTC)) == "facts"


def nested(depth: int) -> str:
    return '{"all": [' * depth + json.dumps(BUYERS) + "]}" * depth


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[1]", "[0].rule: expected an object with one key"),
        ("null", "rule: expected an object with one key: all, any, none or a filter"),
        (json.dumps([BUYERS, {"any": []}]), "[1].rule.any: expected a list of rules that is not empty"),
        (json.dumps({"any": [{"orders": {}}]}), "rule.any[0].orders: is not a known filter or group"),
        (json.dumps({"order_count": {"at_least": "2"}}), "rule.order_count.at_least: expected a number"),
        ('{"order_count": {"at_least": NaN}}', "rule.order_count.at_least: expected a number"),
        ('{"order_count": {"at_least": ' + "9" * 5000 + "}}", "is not JSON"),
        (json.dumps({"order_count": {"more": 2}}), "rule.order_count"),
        (json.dumps({"in_segment": {"is": "nowhere"}}), "there is no segment 'nowhere' to refer to"),
        (nested(300), "nested too deeply; groups nest up to 10 levels"),
        (nested(1_000), "nested too deeply"),
        (nested(100_000), "nested too deeply"),
        (json.dumps({"last_order": {"within_last": f"{10**9}d"}}), "rule.last_order.within_last: expected a span"),
        (json.dumps({"last_order": {"within_last": "99999999d"}}), "rule.last_order.within_last: expected a span"),
        (json.dumps({"country": {"in": ["x"] * 10**6}}), "rule.country.in: expected at most 1000 values"),
        (json.dumps({"any": [BUYERS] * 10**5}), "rule.any[100].order_count: is one condition too many"),
    ],
    ids=range(18),
)  # fmt: skip
def test_an_invalid_rule_is_refused_with_its_path(tmp_path: Path, rule, complaint) -> None:
    file = rule_file(tmp_path, rule)
    begun = time.process_time()

    with pytest.raises(CommandError) as refused:
        shop.command("evaluate", "--rule", file)

    assert complaint in str(refused.value)
    assert len(str(refused.value)) < 1000
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--segment", "nowhere"],
            "there is no segment 'nowhere' (existing: none yet; run install_templates)",
        ),
        (["--rule", "nowhere.json"], "No such file or directory"),
        (["--rule", "."], "Is a directory"),
        ([], "one of the arguments --segment --rule is required"),
        (["--segment", "x", "--rule", "y"], "not allowed with argument"),
        (["--segment", "x", "--at", "soon"], "'soon' is not a time; write it as 2026-03-31"),
    ],
)
def test_invalid_arguments_are_refused(arguments, complaint) -> None:
    with pytest.raises(CommandError) as refused:
        shop.command("evaluate", *arguments)

    assert complaint in str(refused.value)


def test_a_stored_rule_that_is_no_longer_valid_is_an_error() -> None:
    shop.segment("old", BUYERS)
    Segment.objects.update(rule={"gone": {}})

    with pytest.raises(CommandError, match=r"rule\.gone: is not a known filter or group"):
        shop.command("evaluate", "--segment", "old")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_bytes('{"city": {"is": "Köln"}}'.encode("latin-1"))

    with pytest.raises(CommandError, match="is not UTF-8"):
        shop.command("evaluate", "--rule", file)
