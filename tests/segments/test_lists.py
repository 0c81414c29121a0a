"""Attributes that are lists of texts, from every source, and the operators on them."""

from typing import Any

import pytest

from customers.models import Customer, RefusedMessage
from segments.refresh.engine import refresh_all
from tests.customers.test_spellings import matching  # noqa: F401 — a fixture
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, send, source

pytestmark = pytest.mark.django_db

TAGS = ["VIP", "Berlin Mitte", "Straße"]


def tags() -> dict[str, Any]:
    return {one.customer_id: one.attributes.get("tags") for one in Customer.objects.all()}


@pytest.fixture
def customers() -> None:
    """One of a list by each way in, one of a text, one of a number, and one of nothing."""
    _, key = source()
    shop.import_rows("customers", ["file", '["VIP", "Berlin Mitte", "Straße"]'], header="customer_id,tags")
    ApiClient("ingest").post("customers/", {"customer_id": "api", "attributes": {"tags": TAGS}}, status=201)
    send(key, identify("sdk", tags=[*TAGS, "VIP", "", None]))
    shop.import_text(
        "shopify_customers",
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Tags\n"
        'shopify,Lea,Lang,lea@example.com,no,"VIP, Berlin Mitte,Straße"\n',
    )
    shop.import_rows(
        "customers", ["text", "VIP"], ["number", "7"], ["nothing", ""], header="customer_id,tags"
    )


@pytest.mark.usefixtures("customers")
def test_lists_are_accepted_from_every_source() -> None:
    assert tags() == {
        **dict.fromkeys(("file", "api", "sdk", "shopify"), TAGS),
        "text": "VIP",
        "number": 7,
        "nothing": None,
    }


LISTS, ALL = ["api", "file", "sdk", "shopify"], {"api", "file", "sdk", "shopify", "text", "number", "nothing"}


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"has": "vip"}, LISTS),
        ({"has": "vi"}, []),
        ({"has": "STRASSE"}, LISTS),
        ({"has": "Stra\u00dfe\x1f"}, []),
        ({"has_any": ["nobody", "berlin mitte"]}, LISTS),
        ({"has_any": ["nobody", "mitte"]}, []),
        ({"has_any": [f"no {n}" for n in range(999)] + ["vip"]}, LISTS),
        ({"has_all": ["vip", "Vip", "strasse"]}, LISTS),
        ({"has_all": ["vip", "nobody"]}, []),
        ({"is": "vip"}, [*LISTS, "text"]),
        ({"in": ["nobody", "vip"]}, [*LISTS, "text"]),
        ({"contains": "mitte"}, LISTS),
        ({"contains": "vip\x1fberlin"}, []),
        ({"contains": "i"}, [*LISTS, "text"]),
        ({"starts_with": "berlin"}, LISTS),
        ({"starts_with": "mitte"}, []),
        ({"is_not": "vip"}, ["nothing", "number"]),
        ({"is_not": "mitte"}, sorted(ALL)),
        ({"not_in": ["strasse", "nobody"]}, ["nothing", "number", "text"]),
        ({"exists": True}, sorted(ALL - {"nothing"})),
        ({"exists": False}, ["nothing"]),
        ({"is": 7}, ["number"]),
        ({"at_least": 0}, ["number"]),
        ({"is_not": 7}, sorted(ALL - {"number"})),
        ({"ever": True}, []),
    ],
)
def test_operators_match_elements_of_lists(words, found, matching) -> None:  # noqa: F811
    rule = {"attribute": {"name": "tags", **words}}

    yes, no = matching(rule, {"none": [rule]})

    assert sorted(yes) == found
    assert set(no) == ALL - set(yes)


def test_members_change_with_a_list() -> None:
    _, key = source()
    shop.segment("vips", {"attribute": {"name": "tags", "has": "vip"}})
    send(key, identify("c1", tags=["new"]))
    refresh_all()
    send(key, identify("c1", tags=["new", "vip"], at="2026-03-02T10:00:00Z"))
    refresh_all()
    assert shop.members("vips") == ["c1"]
    assert "has “vip”" in shop.command("explain", "c1", "vips")
    assert "new, vip" in shop.command("explain", "c1", "vips")

    send(key, identify("c1", tags=["new"], at="2026-03-03T10:00:00Z"))
    refresh_all()
    assert shop.members("vips") == []
    shop.command("verify_segments")


def test_invalid_elements_of_lists_are_left_out_and_reported() -> None:
    _, key = source()
    many = [f"tag {n}" for n in range(251)]
    send(key, identify("sdk", tags=many, city="Ulm", sizes=[1, 2.5, True, {"a": 1}], more=[1, 2.5, True]))
    told = ApiClient("ingest").post(
        "customers/",
        {"customer_id": "api", "attributes": {"tags": ["x" * 256], "inner": [["a"]]}},
        status=201,
    )
    done = shop.import_rows("customers", ["file", '["' + "x" * 256 + '"]'], header="customer_id,tags")

    reason = "a list can contain at most 250 texts of at most 255 characters"
    assert [one.reason for one in RefusedMessage.objects.all()] == [f"tags: {reason} (the rest was kept)"]
    assert told["results"][0]["warnings"] == [
        {"path": "attributes.tags", "message": reason},
        {"path": "attributes.inner", "message": "expected a list of texts"},
    ]
    assert done.warnings == [f"line 2: tags: {reason} (the rest was kept)"]
    sdk = Customer.objects.get(customer_id="sdk")
    assert (sdk.city, sdk.attributes) == (
        "Ulm",
        {"sizes": '[1, 2.5, true, {"a": 1}]', "more": ["1", "2.5", "true"]},
    )


def test_a_long_list_may_be_longer_than_a_text() -> None:
    long = [f"{n} " + "x" * 90 for n in range(250)]
    _, key = source()
    send(key, identify("sdk", tags=long))
    send(key, identify("sdk", city="Ulm", at="2026-03-02T10:00:00Z"))

    assert tags() == {"sdk": long}
