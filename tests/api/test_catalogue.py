"""The catalogue over HTTP: every filter and template, as the rule language has them."""

import pytest

from segments.rules import parse, registry
from segments.templates import TEMPLATES
from tests.support.api_client import ApiClient

pytestmark = pytest.mark.django_db


def test_every_filter_is_listed_with_what_a_rule_needs() -> None:
    listed = ApiClient("segments:read").get("filters/")

    assert {one["name"] for one in listed} == set(registry)
    for one in listed:
        assert one["label"]
        assert one["help"]
        assert one["parameters"]["type"] == "object"
        assert parse(one["example"]).sentence() == one["sentence"]
        assert set(one["example"][one["name"]]) <= set(one["parameters"]["properties"])


def test_every_template_can_be_sent_back_as_a_segment() -> None:
    caller = ApiClient()

    listed = caller.get("templates/")

    assert [one["slug"] for one in listed] == list(TEMPLATES)
    lost = next(one for one in listed if one["slug"] == "lost")
    assert lost["rule"] == {"last_activity": {"not_within_last": "90d"}}
    [days] = lost["parameters"]
    assert days == {
        "name": "days", "default": 90, "minimum": 1, "maximum": 3650, "whole": True,
        "help": "Number of days without activity.",
    }  # fmt: skip
    sent = {name: lost[name] for name in ("slug", "name", "description", "rule")}
    assert caller.post("segments/", sent, 201)["sentence"] == lost["sentence"]


@pytest.mark.parametrize("address", ["filters/", "templates/"])
def test_an_unchanged_catalogue_is_not_sent_again(address, django_assert_max_num_queries) -> None:
    caller = ApiClient("segments:read")
    first = caller.call("get", address)

    with django_assert_max_num_queries(1):  # the key
        again = caller.call("get", address, If_None_Match=first["ETag"])

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert caller.call("get", address, If_None_Match='"another"').status_code == 200


@pytest.mark.parametrize("address", ["filters/", "templates/"])
def test_reading_the_catalogue_needs_a_scope(address) -> None:
    assert ApiClient("members:read").get(address, 403)["code"] == "missing_scope"
