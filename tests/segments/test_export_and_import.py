"""Segments as JSON: `export_segments` and `import_segments`."""

import io
import json
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError

from segments import segment_store
from segments.models import Membership, Segment
from segments.templates import TEMPLATES
from tests.support import shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

BUYERS = {"order_count": {"at_least": 1}}


def item(slug: str, rule: object = BUYERS, **fields: object) -> dict[str, object]:
    return {"slug": slug, "name": slug.title(), "description": "", "rule": rule, **fields}


def refers(slug: str, to: str) -> dict[str, object]:
    return item(slug, {"in_segment": {"is": to}})


def import_segments(folder: Path, given: object) -> str:
    file = folder / "segments.json"
    file.write_text(given if isinstance(given, str) else json.dumps(given), encoding="utf-8")
    return shop.command("import_segments", file)


def test_an_export_that_is_imported_gives_equal_segments(tmp_path: Path) -> None:
    segment_store.install_templates()
    shop.segment("groesse", {"attribute": {"name": "Größe", "is": "XL"}})
    shop.segment("not-lost", {"none": [{"in_segment": {"is": "lost"}}]})
    segment_store.create_fixed_list("chosen", "Chosen", [], NOON)
    exported = shop.command("export_segments")

    segment_store.delete_segments(Segment.objects.all())
    said = import_segments(tmp_path, exported)

    assert len(said.splitlines()) == 18
    assert shop.command("export_segments") == exported
    assert [one["slug"] for one in json.loads(exported)] == sorted([*TEMPLATES, "groesse", "not-lost"])
    assert set(json.loads(exported)[0]) == {"slug", "name", "description", "rule"}
    assert "Größe" in exported


def test_named_segments_are_exported_in_the_order_given() -> None:
    for slug in ("a", "b", "c"):
        shop.segment(slug, BUYERS)

    assert [one["slug"] for one in json.loads(shop.command("export_segments", "c", "a"))] == ["c", "a"]
    with pytest.raises(CommandError, match=r"there is no segment 'd' \(existing: a, b, c\)"):
        shop.command("export_segments", "a", "d")


def test_importing_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    given = [item("a"), refers("b", to="a")]
    assert import_segments(tmp_path, given) == "created a\ncreated b\n"
    before = shop.rows_of(Segment)

    assert import_segments(tmp_path, given) == "nothing to change\n"

    assert shop.rows_of(Segment) == before


def test_importing_updates_by_slug_and_does_not_refresh(tmp_path: Path) -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("a", BUYERS)
    shop.segment("kept", BUYERS)
    shop.command("refresh_segments", "--at", "2026-03-15")

    said = import_segments(
        tmp_path, [item("a", {"order_count": {"is": 0}}, description="None yet."), item("b")]
    )

    assert said == "created b\nupdated a\n"
    a = Segment.objects.get(slug="a")
    assert (a.description, a.rule, a.version, a.status) == (
        "None yet.",
        {"order_count": {"is": 0}},
        2,
        "edited",
    )
    assert Membership.objects.filter(segment=a).count() == 1
    assert Segment.objects.count() == 3


def test_a_new_name_creates_no_version(tmp_path: Path) -> None:
    shop.segment("a", BUYERS)

    assert import_segments(tmp_path, [item("a", name="Renamed")]) == "updated a\n"

    a = Segment.objects.get()
    assert (a.name, a.version) == ("Renamed", 1)


def test_segments_may_refer_to_one_another_in_any_order(tmp_path: Path) -> None:
    assert import_segments(tmp_path, [refers("b", to="a"), item("a")]) == "created b\ncreated a\n"


def test_a_file_from_standard_input_is_imported(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([item("a")])))

    assert shop.command("import_segments", "-") == "created a\n"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("[{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ({"slug": "a"}, "expected a list of segments: [{slug, name, description, rule}]"),
        ([item("good"), "a"], "[1]: expected an object with slug, name, description and rule"),
        ([item("good"), {"slug": "a", "rule": BUYERS}], "[1].name: missing"),
        ([item("good"), item("a", size=5)], "[1].size: is not a field; expected slug, name, description, rule"),
        ([item("good"), item("a", name=5)], "[1].name: expected a text"),
        ([item("good"), item("a", name="")], "[1].name: This field cannot be blank."),
        ([item("good"), item("a", name="x" * 201)], "[1].name: Ensure this value has at most 200 characters"),
        ([item("good"), item("a b")], "[1].slug: Use letters, digits, - and _ only."),
        ([item("good"), item("")], "[1].slug: This field cannot be blank."),
        ([item("good"), item("a\n")], "[1].slug: Use letters, digits, - and _ only."),
        ([item("good"), item("good")], "contains a slug twice"),
        ([item("good"), item("a", {"order_count": {}})], "[1].rule.order_count: expected exactly one of is, "),
        ([item("good"), item("a", None)], "[1].rule: expected an object with one key"),
        ([item("good"), item("chosen")], "[1].slug: chosen is a fixed list and has no rule"),
        ([item("good"), refers("a", to="a")], "segments may not refer to one another in a circle: a → a"),
        ([item("good"), refers("a", to="b"), refers("b", to="a")], "in a circle: "),
        ([item("good"), refers("old", to="user")], "in a circle: "),
        ([item("good"), refers("a", to="nowhere")], "there is no segment 'nowhere' to refer to"),
        ([item("good"), item("a", name="a\x00b")], "[1].name: "),
        ([item("good"), item("a", description="a\ud800")], "[1].description: "),
    ],
    ids=range(23),
)  # fmt: skip
def test_a_file_with_an_invalid_segment_imports_none(tmp_path: Path, given, complaint) -> None:
    shop.segment("old", BUYERS)
    shop.segment("user", {"in_segment": {"is": "old"}})
    segment_store.create_fixed_list("chosen", "Chosen", [], NOON)
    before = shop.rows_of(Segment)

    with pytest.raises(CommandError) as refused:
        import_segments(tmp_path, given)

    assert complaint in str(refused.value)
    assert shop.rows_of(Segment) == before


def test_the_error_names_a_missing_file() -> None:
    with pytest.raises(CommandError, match=r"nowhere\.json: No such file or directory"):
        shop.command("import_segments", "nowhere.json")
