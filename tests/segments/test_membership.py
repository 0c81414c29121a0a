"""Members follow their rules: who enters, who leaves, and why."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from customers.models import Customer
from segments import segment_store
from segments.models import Change, Membership, Refresh, RefreshResult, Segment
from segments.refresh.engine import refresh_segments
from segments.refresh.plan import TooEarly
from segments.refresh.write import Outcome
from segments.rules import RuleError
from tests.support import shop
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

BUYERS = {"order_count": {"at_least": 1}}
RECENT = {"last_order": {"within_last": "30d"}}
BIG_SPENDERS = {"total_spent": {"above": "average"}}


def refresh(*slugs: str, at: datetime = NOON) -> dict[str, Outcome]:
    """Refresh the named segments, or all."""
    chosen = Segment.objects.filter(slug__in=slugs) if slugs else Segment.objects.all()
    _, outcomes = refresh_segments(chosen, at)
    return {outcome.segment.slug: outcome for outcome in outcomes}


def verified() -> bool:
    return "DIFFERENT" not in shop.command("verify_segments")


# -- Entering and leaving, with the cause


def test_the_first_members_have_the_cause_initial() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-02,10")
    shop.customers("c3,c3@example.org")
    shop.segment("buyers", BUYERS)

    outcome = refresh()["buyers"]

    assert (outcome.size, outcome.known_size, outcome.entered, outcome.left) == (2, 0, 2, 0)
    assert shop.members("buyers") == ["c1", "c2"]
    assert sorted(shop.changes("buyers")) == [("c1", "entered", "initial"), ("c2", "entered", "initial")]
    assert set(Membership.objects.values_list("entered_at", flat=True)) == {NOON}


def test_an_order_and_a_cancellation_have_the_cause_activity() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("buyers", BUYERS)
    refresh()

    shop.orders("o2,c2,2026-03-02,10")
    shop.orders("o1,,,cancelled", header="order_id,customer_id,placed_at,status")
    outcome = refresh(at=NOON + days(1))["buyers"]

    assert (outcome.size, outcome.entered, outcome.left) == (1, 1, 1)
    assert sorted(shop.changes("buyers")[1:]) == [("c1", "left", "activity"), ("c2", "entered", "activity")]
    assert Membership.objects.get().entered_at == NOON + days(1)


def test_a_period_that_ends_has_the_cause_time() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-14,10")
    shop.segment("recent", RECENT)
    refresh()

    refresh(at=NOON + days(20))

    assert shop.changes("recent")[2:] == [("c1", "left", "time")]
    assert shop.members("recent") == ["c2"]


def test_an_average_that_passes_a_value_has_the_cause_population() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,4")
    shop.segment("big", BIG_SPENDERS)
    refresh()
    assert shop.members("big") == ["c1"]

    shop.orders("o3,c3,2026-03-02,1000")
    refresh(at=NOON + days(1))

    assert sorted(shop.changes("big")[1:]) == [("c1", "left", "population"), ("c3", "entered", "activity")]


def test_a_statistic_causes_changes_only_in_segments_that_need_it() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-14,4")
    shop.segment("recent", RECENT)
    shop.segment("big", BIG_SPENDERS)
    refresh()

    shop.orders("o3,c3,2026-03-02,1000")
    refresh(at=NOON + days(20))

    assert sorted(shop.changes("recent")[2:]) == [("c1", "left", "time")]
    assert ("c1", "left", "population") in shop.changes("big")


def test_a_statistic_also_causes_changes_in_segments_that_refer_to_these() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-14,4")
    shop.segment("big", BIG_SPENDERS)
    shop.segment(
        "bigger",
        {
            "all": [
                BIG_SPENDERS,
                {"none": [{"in_segment": {"is": "big", "entered": {"before": "2000-01-01"}}}]},
            ]
        },
    )
    refresh()

    shop.orders("o3,c3,2026-03-02,1000")
    refresh(at=NOON + days(1))

    assert ("c1", "left", "population") in shop.changes("bigger")


def test_an_edited_rule_has_the_cause_definition() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,10", "o3,c2,2026-03-02,10")
    segment = shop.segment("buyers", BUYERS)
    refresh()

    segment.refresh_from_db()
    segment.rule = {"order_count": {"is": 1}}
    segment_store.save_segment(segment)
    segment.refresh_from_db()
    assert (segment.status, segment.version, segment.refreshed_version) == ("edited", 2, 1)
    refresh(at=NOON + days(1))

    segment.refresh_from_db()
    assert (segment.status, segment.refreshed_version) == ("fresh", 2)
    assert shop.changes("buyers")[2:] == [("c2", "left", "definition")]


def test_a_merge_has_the_cause_merge() -> None:
    shop.events("m1,,a1,View,2026-03-01")
    shop.segment("viewers", {"event_count": {"at_least": 1, "event": "View"}})
    refresh()
    assert shop.members("viewers") == ["anonymous:a1"]

    shop.events("m2,c1,a1,Signed In,2026-03-02")
    refresh(at=NOON + days(1))

    assert shop.members("viewers") == ["c1"]
    assert sorted(shop.changes("viewers")[1:]) == [
        ("anonymous:a1", "left", "merge"),
        ("c1", "entered", "merge"),
    ]
    assert verified()


def test_a_member_who_is_merged_with_a_visitor_stays_a_member() -> None:
    shop.events("m1,,a1,View,2026-03-01", "m2,c1,,View,2026-03-01")
    shop.segment("viewers", {"event_count": {"at_least": 1, "event": "View"}})
    refresh()

    shop.events("m3,c1,a1,Signed In,2026-03-02")
    outcome = refresh(at=NOON + days(1))["viewers"]

    assert (outcome.size, outcome.entered, outcome.left) == (1, 0, 1)
    assert Membership.objects.get().entered_at == NOON


def test_a_second_refresh_changes_nothing() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,4")
    segment_store.install_templates()
    refresh()
    before = shop.rows_of(Membership, Change)

    outcomes = refresh(), refresh(at=NOON + timedelta(microseconds=1))

    assert shop.rows_of(Membership, Change) == before
    assert {(one.entered, one.left) for outcome in outcomes for one in outcome.values()} == {(0, 0)}
    assert RefreshResult.objects.count() == 16  # a run tells of the segments that it moved


def test_a_refresh_before_the_last_one_is_refused_and_changes_nothing() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment("buyers", BUYERS)
    shop.segment("recent", RECENT)
    refresh("buyers")
    before = shop.rows_of(Membership, Change, Segment)

    with pytest.raises(TooEarly, match="buyers was refreshed at 2026-03-15T12:00:00"):
        refresh(at=NOON - timedelta(microseconds=1))

    assert shop.rows_of(Membership, Change, Segment) == before
    assert Refresh.objects.latest("id").state == Refresh.State.FAILED


# -- Failing, referring, fixed lists


def test_a_failing_segment_keeps_its_members_and_shows_its_error() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    old = shop.segment("old", BUYERS)
    shop.segment("buyers", BUYERS)
    refresh("old")
    Segment.objects.filter(pk=old.pk).update(rule={"gone": {}})

    outcomes = refresh(at=NOON + days(1))

    assert outcomes["old"].error == "rule.gone: is not a known filter or group"
    assert (outcomes["buyers"].error, outcomes["buyers"].entered) == ("", 1)
    old.refresh_from_db()
    assert (old.status, old.last_error, old.size) == ("failing", outcomes["old"].error, 1)
    assert (old.refreshed_at, shop.members("old")) == (NOON, ["c1"])
    failing_since = old.failing_since
    assert failing_since
    refresh(at=NOON + days(2))
    old.refresh_from_db()
    assert old.failing_since == failing_since

    old.rule = BUYERS
    segment_store.save_segment(old)
    refresh(at=NOON + days(3))

    old.refresh_from_db()
    assert (old.status, old.last_error, old.failing_since) == ("fresh", "", None)  # type: ignore[comparison-overlap]


def test_segments_are_evaluated_after_those_they_refer_to() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-01-01,10")
    first = shop.segment("m", BUYERS)
    shop.segment("z", {"none": [{"in_segment": {"is": "m"}}]})
    shop.segment("a", {"all": [{"in_segment": {"is": "m"}}, {"none": [{"in_segment": {"is": "z"}}]}]})
    first.rule = RECENT
    segment_store.save_segment(first)

    refresh()

    assert (shop.members("m"), shop.members("z"), shop.members("a")) == (["c1"], ["c2"], ["c1"])
    assert verified()


def test_a_circle_is_refused() -> None:
    a = shop.segment("a", BUYERS)
    shop.segment("b", {"any": [BUYERS, {"in_segment": {"is": "a"}}]})
    shop.segment("c", {"none": [{"in_segment": {"is": "b"}}]})

    a.rule = {"in_segment": {"is": "c"}}
    with pytest.raises(RuleError, match="may not refer to one another in a circle"):
        segment_store.save_segment(a)
    with pytest.raises(RuleError, match="in a circle: d → d"):
        shop.segment("d", {"in_segment": {"is": "d"}})
    with pytest.raises(RuleError, match="there is no segment 'nowhere' to refer to"):
        shop.segment("d", {"in_segment": {"is": "nowhere"}})


def test_a_segment_in_use_can_be_neither_deleted_nor_renamed() -> None:
    a = shop.segment("a", BUYERS)
    b = shop.segment("b", {"in_segment": {"is": "a"}})

    with pytest.raises(segment_store.SegmentInUse, match="a cannot be deleted: the rules of b refer to it"):
        segment_store.delete_segments([a])
    a.slug = "renamed"
    with pytest.raises(ValidationError, match=r"The rules of b refer to a\. Change them first"):
        segment_store.save_segment(a)

    a.refresh_from_db()
    segment_store.delete_segments([a, b])
    assert not Segment.objects.exists()


def test_a_fixed_list_can_be_referred_to_and_is_not_refreshed() -> None:
    shop.customers("c1,", "c2,", "c3,c3@example.org")
    keys, unknown = segment_store.find_customers(["c1", " c3 ", "c9", ""])
    assert unknown == ["c9"]
    segment_store.create_fixed_list("chosen", "Chosen", keys, NOON)
    shop.segment("others", {"none": [{"in_segment": {"is": "chosen"}}]})

    outcomes = refresh(at=datetime.now(UTC))

    assert outcomes.keys() == {"others"}
    assert shop.members("others") == ["c2"]
    chosen = Segment.objects.get(slug="chosen")
    assert (chosen.status, chosen.size, chosen.known_size) == ("static", 2, 1)
    assert sorted(shop.changes("chosen")) == [("c1", "entered", "initial"), ("c3", "entered", "initial")]


def test_a_frozen_segment_keeps_the_members_it_had() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    buyers = shop.segment("buyers", BUYERS)
    refresh()

    segment_store.create_fixed_list_of_members(buyers, "march", "March", NOON)
    shop.orders("o2,c2,2026-03-02,10")
    refresh("buyers", at=NOON + days(1))

    assert shop.members("march") == ["c1"]
    assert shop.members("buyers") == ["c1", "c2"]


# -- Records dated after the refresh


def test_records_dated_in_the_future_do_not_count_before_their_time() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-20,10", "o3,c2,2026-03-25,10")
    shop.segment("regulars", {"order_count": {"at_least": 2}})
    shop.segment("strangers", {"known": {"is": False}})

    refresh()
    assert (shop.members("regulars"), shop.members("strangers")) == ([], ["c1"])
    assert verified()

    refresh(at=datetime(2026, 3, 20, tzinfo=UTC))
    assert (shop.members("regulars"), shop.members("strangers")) == (["c1"], ["c1"])
    assert shop.changes("regulars") == [("c1", "entered", "activity")]
    assert verified()

    refresh(at=NOON + days(30))
    assert (shop.members("regulars"), shop.members("strangers")) == (["c1"], ["c1", "c2"])
    assert verified()


def test_population_statistics_are_stored_with_the_refresh() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,5", "o3,c2,2026-04-01,500")
    shop.segment("big", BIG_SPENDERS)

    refresh()

    run = Refresh.objects.get()
    assert run.state == Refresh.State.DONE
    assert list(run.statistics.values()) == [75_000]
    assert shop.members("big") == ["c1"]
    assert Customer.objects.count() == 2


def test_a_refresh_with_a_clock_set_back_has_the_instant_of_the_last_one() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    segment = shop.segment("buyers", BUYERS)
    later = datetime.now(UTC) + timedelta(days=1)
    refresh(at=later)
    shop.orders("o2,c2,2026-03-01,10")

    _, [outcome] = refresh_segments([segment])

    assert (outcome.entered, outcome.error) == (1, "")
    segment.refresh_from_db()
    assert segment.refreshed_at == later
