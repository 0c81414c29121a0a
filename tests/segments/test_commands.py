"""The commands about stored members: refresh_segments, members, install_templates, explain."""

import csv
import io

import pytest
from django.core.management import CommandError
from django.test import override_settings

from segments import segment_store
from segments.models import Change, Membership, Segment
from segments.templates import TEMPLATES
from tests.support import shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

BUYERS = {"order_count": {"at_least": 1}}
REGULARS = {"order_count": {"at_least": 2}}
AT = ("--at", "2026-03-15T12:00:00Z")


@pytest.fixture
def buyers() -> Segment:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-02,10")
    return shop.segment("buyers", BUYERS)


# -- refresh_segments


@pytest.mark.usefixtures("buyers")
def test_a_refresh_prints_the_result_of_each_segment() -> None:
    shop.segment("regular-buyers", REGULARS)

    assert shop.command("refresh_segments", *AT).splitlines() == [
        "buyers          size 2, entered 2, left 0",
        "regular-buyers  size 0, entered 0, left 0",
    ]

    shop.orders("o3,c1,2026-03-03,10", "o2,c1,,")
    assert shop.command("refresh_segments", "buyers", "--at", "2026-03-16") == (
        "buyers  size 1, entered 0, left 1\n"
    )
    assert shop.command("refresh_segments", "--full").splitlines() == [
        "buyers          size 1, entered 0, left 0",
        "regular-buyers  size 1, entered 1, left 0",
    ]


@pytest.mark.usefixtures("buyers")
def test_an_instant_before_the_last_refresh_is_refused() -> None:
    shop.command("refresh_segments", *AT)
    assert shop.command("refresh_segments", *AT) == "buyers  size 2, entered 0, left 0\n"

    with pytest.raises(
        CommandError, match=r"^--at: buyers was refreshed at 2026-03-15T12:00:00\+00:00; use that"
    ):
        shop.command("refresh_segments", "--at", "2026-03-15T11:59:59Z")


@pytest.mark.usefixtures("buyers")
@pytest.mark.parametrize(
    ("slugs", "complaint"),
    [
        (["nowhere"], r"^there is no segment 'nowhere' \(existing: buyers, chosen\)$"),
        (["buyers", "nowhere"], "there is no segment 'nowhere'"),
        (["chosen"], "^chosen is a fixed list; it has no rule$"),
        (["buyers", "chosen"], "chosen is a fixed list"),
    ],
)
def test_a_segment_that_cannot_be_refreshed_is_an_error(slugs, complaint) -> None:
    segment_store.create_fixed_list("chosen", "Chosen", [], NOON)

    with pytest.raises(CommandError, match=complaint):
        shop.command("refresh_segments", *slugs)

    assert not Membership.objects.exists()


def test_without_segments_there_is_nothing_to_refresh() -> None:
    with pytest.raises(CommandError, match="there are no active segments yet; run install_templates"):
        shop.command("refresh_segments")


def test_a_failing_segment_is_named_and_the_others_are_refreshed(buyers: Segment) -> None:
    shop.segment("old", BUYERS)
    Segment.objects.filter(slug="old").update(rule={"gone": {}})

    assert shop.failing("refresh_segments", *AT).splitlines() == [
        "buyers  size 2, entered 2, left 0",
        "old     rule.gone: is not a known filter or group",
    ]


def test_a_paused_segment_is_refreshed_only_by_name(buyers: Segment) -> None:
    shop.segment("other", REGULARS)
    Segment.objects.filter(pk=buyers.pk).update(is_active=False)

    assert shop.command("refresh_segments", *AT).splitlines() == ["other  size 0, entered 0, left 0"]
    assert shop.command("refresh_segments", "buyers", *AT) == "buyers  size 2, entered 2, left 0\n"


# -- members


def test_members_are_written_as_csv() -> None:
    shop.import_rows("customers", ["=1+1"], ['a "b"; c'], header="customer_id")
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("everybody", {"none": [{"order_count": {"at_least": 9}}]})
    assert shop.command("members", "everybody") == "customer_id,entered_at\n"

    shop.command("refresh_segments", "--at", "2999-01-01")

    rows = list(csv.reader(io.StringIO(shop.command("members", "everybody"))))
    assert rows[0] == ["customer_id", "entered_at"]
    assert sorted(row[0] for row in rows[1:]) == ["'=1+1", 'a "b"; c', "c1"]
    assert {row[1] for row in rows[1:]} == {"2999-01-01T00:00:00+00:00"}


def test_members_of_an_unknown_segment_are_an_error() -> None:
    with pytest.raises(CommandError, match=r"there is no segment 'nowhere' \(existing: none yet"):
        shop.command("members", "nowhere")


# -- install_templates


def test_templates_are_installed_once_and_edited_segments_stay() -> None:
    said = shop.command("install_templates")
    assert said.splitlines() == [f"created {slug}" for slug in TEMPLATES]

    lost = Segment.objects.get(slug="lost")
    lost.rule, lost.name = {"last_activity": {"not_within_last": "180d"}}, "Gone"
    segment_store.save_segment(lost)
    segment_store.delete_segments([Segment.objects.get(slug="hero")])

    assert shop.command("install_templates") == "created hero\n"
    assert shop.command("install_templates") == "all ready-to-use segments exist already\n"
    lost.refresh_from_db()
    assert (lost.name, lost.version) == ("Gone", 2)
    assert lost.rule == {"last_activity": {"not_within_last": "180d"}}


# -- explain


def test_an_explanation_shows_whether_each_condition_is_met_and_the_customers_value() -> None:
    shop.customers("c1,a@example.org,DE,2026-01-01", header="customer_id,email,country,first_seen")
    shop.orders("o1,c1,2026-03-01,10.50", "o2,c1,2026-03-03,20")
    shop.segment(
        "vips",
        {
            "all": [
                {"known": {"is": True}},
                {"order_count": {"at_least": 2}},
                {"any": [{"total_spent": {"more_than": 100}}, {"country": {"is": "de"}}]},
                {"none": [{"language": {"exists": True}}, {"last_order": {"before": "2026-01-01"}}]},
                {"days_between_orders": {"less_than": 1}},
            ]
        },
    )

    lines = shop.command("explain", "c1", "vips").splitlines()

    assert lines[0] == "c1 is no stored member of vips"
    verdicts = [(line.index(line.lstrip()) // 2, line.lstrip()[0]) for line in lines[1:]]
    assert verdicts == [
        *[(0, "✗"), (1, "✓"), (1, "✓"), (1, "✓"), (2, "✗"), (2, "✓"), (1, "✓"), (2, "✗"), (2, "✗"), (1, "✗")]
    ]
    values = [line.partition(": ")[2] for line in lines[1:] if ": " in line]
    assert values == ["yes", "2", "30.50 EUR", "DE", "missing", "2026-03-03 00:00:00+00:00", "2 days"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"total_spent": {"above": "average"}}, "✓ spent above the average of 151.00 EUR: 1,234.07 EUR"),
        ({"total_spent": {"below": "median"}}, "✗ spent below the median of 20.00 EUR: 1,234.07 EUR"),
        ({"total_spent": {"top_percent": 20}}, "✓ spent among the top 20 % (at least 115.93 EUR): 1,234.07 EUR"),
        ({"total_spent": {"more_than": 1234.069}}, "✓ spent more than 1,234.069 EUR: 1,234.07 EUR"),
        ({"total_spent": {"at_least": 500.5}}, "✓ spent at least 500.50 EUR: 1,234.07 EUR"),
        ({"average_order_value": {"between": [1, 2]}},
         "✗ has an average order value of between 1.00 EUR and 2.00 EUR: 1,234.07 EUR"),
        ({"average_order_value": {"above": "average", "during": {"within_last": "3650d"}}},
         "✓ has an average order value above the average of 151.00 EUR in the last 3650 days: 1,234.07 EUR"),
        ({"last_order": {"within_last": "3650d"}},
         "✓ placed their last order in the last 3650 days: 2026-03-01 13:30:00+01:00"),
        ({"days_between_orders": {"less_than": 9}}, "✗ has less than 9 days between orders on average: missing"),
    ],
)  # fmt: skip
@override_settings(TIME_ZONE="Europe/Berlin")
def test_an_explanation_shows_the_statistic_that_it_compares_with(rule, told) -> None:
    some = (f"o{n},c{n},2026-03-01,20" for n in range(1, 9))
    shop.orders("o0,c0,2026-03-01T12:30Z,1234.07", *some, "o9,c9,2026-03-01,115.93")
    shop.segment("asked", rule)

    assert shop.command("explain", "c0", "asked").splitlines()[1] == told


def test_an_explanation_shows_amounts_in_cents_unless_they_would_look_equal() -> None:
    shop.orders("o0,c0,2026-03-01,100", "o1,c1,2026-03-01,50.01", "o2,c2,2026-03-01,50.01")
    shop.segment("asked", {"total_spent": {"above": "average"}})

    told = [shop.command("explain", name, "asked").splitlines()[1] for name in ("c0", "c1")]

    assert told == [
        "✓ spent above the average of 66.67 EUR: 100.00 EUR",
        "✗ spent above the average of 66.67 EUR: 50.01 EUR",
    ]
    shop.orders("o0,c0,2026-03-01,50.0102")

    told = [shop.command("explain", name, "asked").splitlines()[1] for name in ("c0", "c1")]

    assert told == [
        "✓ spent above the average of 50.0101 EUR: 50.0102 EUR",
        "✗ spent above the average of 50.0101 EUR: 50.01 EUR",
    ]


def test_an_order_closes_the_cart_in_an_explanation() -> None:
    shop.events("m1,c1,,Product Added,2026-03-14", "m2,c2,,Product Added,2026-03-14")
    shop.orders("o1,c1,2026-03-14T09:00Z,10")
    shop.segment("waiting", {"open_cart": {"within_last": "3650d"}})

    told = [shop.command("explain", name, "waiting").splitlines()[1] for name in ("c1", "c2")]

    assert told == [
        "✗ has an open cart, last added to in the last 3650 days: missing",
        "✓ has an open cart, last added to in the last 3650 days: 2026-03-14 00:00:00+00:00",
    ]


def test_a_member_is_explained_with_the_time_of_entering(buyers: Segment) -> None:
    shop.command("refresh_segments", *AT)

    first, second = shop.command("explain", "c1", "buyers").splitlines()

    assert first == "c1 is a stored member since 2026-03-15T12:00:00+00:00 of buyers"
    assert second.startswith("✓ ")


@pytest.mark.parametrize("name", ["a1", "anonymous:a1", "c1"])
def test_a_merged_visitor_is_explained_as_the_customer(name) -> None:
    shop.events("m1,,a1,View,2026-03-01", "m2,c1,,View,2026-03-01")
    shop.events("m3,c1,a1,View,2026-03-01")
    shop.segment("viewers", {"event_count": {"is": 3}})

    first, second = shop.command("explain", name, "viewers").splitlines()

    assert first == "c1 is no stored member of viewers"
    assert second.startswith("✓ ")
    assert second.endswith(": 3")


def test_a_visitor_is_found_by_the_public_id() -> None:
    shop.events("m1,,a1,View,2026-03-01")
    shop.segment("viewers", {"event_count": {"is": 3}})

    assert shop.command("explain", "anonymous:a1", "viewers").startswith("anonymous:a1 is no stored member")


@pytest.mark.usefixtures("buyers")
@pytest.mark.parametrize(
    ("customer", "slug", "complaint"),
    [
        ("c9", "buyers", "there is no customer 'c9'"),
        ("anonymous:c1", "buyers", "there is no customer 'anonymous:c1'"),
        ("c1", "nowhere", "there is no segment 'nowhere'"),
        ("later", "buyers", "'later' has not been seen yet: all their records are dated in the future"),
    ],
)
def test_an_impossible_explanation_is_an_error(customer, slug, complaint) -> None:
    shop.orders("o9,later,2999-01-01,10")

    with pytest.raises(CommandError, match=complaint):
        shop.command("explain", customer, slug)


@pytest.mark.usefixtures("buyers")
def test_a_fixed_list_needs_no_explanation() -> None:
    keys, _ = segment_store.find_customers(["c1"])
    segment_store.create_fixed_list("chosen", "Chosen", keys, NOON)

    assert shop.command("explain", "c1", "chosen").splitlines() == [
        "c1 is a stored member since 2026-03-15T12:00:00+00:00 of chosen",
        "the segment is a fixed list: no rule decides",
    ]
    assert shop.command("explain", "c2", "chosen").startswith("c2 is no stored member of chosen\n")


def test_explaining_changes_nothing(buyers: Segment) -> None:
    shop.command("refresh_segments", *AT)
    before = shop.rows_of(*shop.RECORDS, *shop.MEMBERS)

    for customer in ("c1", "c2"):
        shop.command("explain", customer, "buyers")

    assert shop.rows_of(*shop.RECORDS, *shop.MEMBERS) == before
    assert Change.objects.count() == 2
