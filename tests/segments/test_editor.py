"""The requests of the rule editor, and the form without JavaScript."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from segments.models import Segment
from segments.rules import parse, registry
from segments.rules.catalogue import UNRECORDED
from tests.support import shop

pytestmark = pytest.mark.django_db

RULE = {"all": [{"known": {"is": True}}, {"country": {"is": "FR"}}]}


@pytest.fixture
def small_shop() -> None:
    shop.customers(
        "c1,c1@example.org,FR", "c2,,FR", "c3,c3@example.org,DE", header="customer_id,email,country"
    )
    shop.orders("o1,c1,2026-03-01,SPRING", header="order_id,customer_id,placed_at,coupon_code")


def ask(client: Client, page: str, rule: Any, **others: str) -> dict[str, Any]:
    body = json.dumps({"rule": rule, **others})
    url = reverse(f"admin:segments_segment_rule_{page}")
    response = client.post(url, body, content_type="application/json")
    assert response.status_code == 200
    return dict(response.json())


def suggested(client: Client, **query: str) -> list[str]:
    values = client.get(reverse("admin:segments_segment_rule_suggestions"), query).json()["values"]
    return [one["value"] for one in values]


def unknown(client: Client, of: str, *values: str) -> dict[str, list[tuple[str, int]]]:
    query = {"of": of, "value": values}
    found = client.get(reverse("admin:segments_segment_rule_unknown_values"), query).json()["unknown"]
    return {value: [(one["value"], one["customers"]) for one in nearest] for value, nearest in found.items()}


def test_a_rule_is_shown_as_a_sentence_and_counted(admin_client, small_shop):
    answer = ask(admin_client, "count", RULE)

    assert answer["sentence"].startswith("Everyone who is known")
    assert {name: answer["counted"][name] for name in ("everybody", "matching", "known", "subscribed")} == {
        "everybody": 3, "matching": 1, "known": 1, "subscribed": 0,
    }  # fmt: skip


def test_each_condition_is_counted_and_a_sample_is_shown(admin_client, small_shop):
    answer = ask(admin_client, "details", RULE)

    assert answer["conditions"] == {"rule.all[0].known": 2, "rule.all[1].country": 2}
    assert [one["name"] for one in answer["sample"]] == ["c1@example.org"]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"order_count": {"at_least": "x"}}, "rule.order_count.at_least"),
        ({"all": [{"known": {"is": True}}, {"country": {"in": []}}]}, "rule.all[1].country.in"),
        ({"in_segment": {"is": "nobody-made-it"}}, "rule"),
        (None, "rule"),
    ],
)
@pytest.mark.parametrize("page", ["count", "details"])
def test_errors_have_their_path(admin_client, rule, path, page):
    error = ask(admin_client, page, rule)["error"]

    assert error["path"] == path
    assert error["message"]


def test_the_sentence_has_the_names_of_segments(admin_client):
    shop.segment("well-known", {"known": {"is": True}})

    rule = {"all": [{"in_segment": {"is": "well-known"}}, {"none": [{"in_segment": {"is": "well-known"}}]}]}

    assert ask(admin_client, "count", rule)["sentence"] == (
        "Everyone who is in the segment “Well-Known” and is not in the segment “Well-Known”"
    )


def test_a_segment_cannot_refer_to_itself(admin_client):
    shop.segment("one", {"known": {"is": True}})

    error = ask(admin_client, "count", {"in_segment": {"is": "one"}}, slug="one")["error"]

    assert "circle" in error["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"rule"', b"\xff"])
def test_a_body_without_a_rule_has_a_readable_error(admin_client, body):
    url = reverse("admin:segments_segment_rule_count")

    assert "error" in admin_client.post(url, body, content_type="application/json").json()


def test_values_of_the_shop_are_suggested(admin_client, small_shop):
    assert suggested(admin_client, of="country") == ["FR", "DE"]
    assert suggested(admin_client, of="country", q="d") == ["DE"]
    assert suggested(admin_client, of="coupon") == ["SPRING"]
    assert suggested(admin_client, of="what nobody has") == []


def test_values_have_the_number_of_their_customers(admin_client, small_shop):
    shop.orders("o2,c1,2026-03-02,SPRING", "o3,c2,2026-03-02,SPRING",
                header="order_id,customer_id,placed_at,coupon_code")  # fmt: skip
    address = reverse("admin:segments_segment_rule_suggestions")

    assert admin_client.get(address, {"of": "country"}).json()["values"] == [
        {"value": "FR", "customers": 2},
        {"value": "DE", "customers": 1},
    ]
    assert admin_client.get(address, {"of": "coupon"}).json()["values"] == [
        {"value": "SPRING", "customers": 2}
    ]


def test_a_value_that_no_record_has_comes_with_the_nearest_ones(admin_client, small_shop):
    shop.event_with('{"price": 10}')

    assert unknown(admin_client, "coupon", "spring", "SPRNG", "WINTER") == {
        "SPRNG": [("SPRING", 1)],
        "WINTER": [],
    }
    assert list(unknown(admin_client, "property", "price", "Price")) == ["Price"]
    assert unknown(admin_client, "what nobody has", "x") == {}


def test_attributes_and_properties_are_suggested_by_name_and_value(admin_client):
    shop.customers("c1,gold", header="customer_id,tier")
    shop.event_with('{"price": 10, "colour": "red"}')

    assert suggested(admin_client, of="attribute") == ["tier"]
    assert suggested(admin_client, of="attribute_value", name="tier") == ["gold"]
    assert sorted(suggested(admin_client, of="property")) == ["colour", "price"]


def test_counting_needs_the_permission_to_see_segments(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ann", is_staff=True))

    for page in ("count", "details"):
        url = reverse(f"admin:segments_segment_rule_{page}")
        assert client.post(url, "{}", content_type="application/json").status_code == 403


def test_without_javascript_the_rule_is_a_text_field(admin_client):
    page = admin_client.get(reverse("admin:segments_segment_add")).content.decode()
    assert '<textarea name="rule"' in page

    given = {"name": "French", "slug": "french", "rule": json.dumps(RULE), "is_active": "on"}
    admin_client.post(reverse("admin:segments_segment_add"), given)

    assert Segment.objects.get(slug="french").rule == RULE


@pytest.mark.parametrize("name", registry)
def test_every_filter_is_found_by_other_words_than_its_label(name):
    words = {word.strip().casefold() for word in registry[name].synonyms.split(",")}

    assert words - {"", registry[name].label.casefold()}


@pytest.mark.parametrize(("name", "preset"), [(n, p) for n, cls in registry.items() for p in cls.presets])
def test_every_common_question_is_a_rule_once_its_blanks_are_filled_in(name, preset):
    assert preset.synonyms
    parse({name: filled_in(preset.parameters)})


def test_what_is_not_recorded_names_filters_that_exist():
    assert {name for one in UNRECORDED for name in one.nearest} <= set(registry)


def filled_in(value: Any) -> Any:
    """Return the parameters with a text in place of each blank."""
    if isinstance(value, Mapping):
        return {key: filled_in(part) for key, part in value.items()}
    return {"": "lamp", "[]": ["lamp"]}.get(str(value), value)
