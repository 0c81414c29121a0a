"""`verify_segments`: stored members compared with a full evaluation from the records."""

import pytest
from django.urls import reverse

from customers.facts import update
from customers.models import Customer, Facts
from segments import segment_store
from segments.models import Membership, Segment, Verification
from segments.refresh import verification
from tests.support import shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

AT = ("--at", "2026-03-15T12:00:00Z")
LATER = ("--at", "2026-04-20T12:00:00Z")
BUYERS = {"order_count": {"at_least": 1}}


@pytest.fixture
def buyers() -> Segment:
    """Buyers c1 and c2, and c3 who is none."""
    shop.customers("c1,", "c2,", "c3,", header="customer_id,email")
    shop.customers("c3,2026-01-01", header="customer_id,first_seen")
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-02,10")
    segment = shop.segment("buyers", BUYERS)
    shop.command("refresh_segments", *AT)
    return segment


def test_a_verification_after_a_refresh_finds_no_difference() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-30,40")
    segment_store.install_templates()
    shop.command("refresh_segments", *AT)

    said = shop.command("verify_segments").splitlines()

    assert len(said) == 16
    assert all(": right, " in line for line in said)
    assert "first-order: right, 1 members compared" in said


def test_a_missing_member_is_found(buyers: Segment) -> None:
    Membership.objects.get(customer__customer_id="c2").delete()

    said = shop.failing("verify_segments")

    assert said.splitlines() == ["buyers: DIFFERENT, 1 members compared", "  missing: c2"]


def test_an_extra_member_is_found(buyers: Segment) -> None:
    Membership.objects.create(
        customer=Customer.objects.get(customer_id="c3"), segment=buyers, entered_at=NOON
    )

    said = shop.failing("verify_segments")

    assert said.splitlines() == ["buyers: DIFFERENT, 3 members compared", "  extra: c3"]


def test_at_most_twenty_differences_are_listed(buyers: Segment) -> None:
    shop.orders(*(f"p{n:02},d{n:02},2026-03-01,10" for n in range(25)))
    shop.command("refresh_segments", *AT)
    Membership.objects.filter(customer__customer_id__startswith="d").delete()

    said = shop.failing("verify_segments").splitlines()

    assert said[1] == "  missing: " + ", ".join(f"d{n:02}" for n in range(20)) + " and 5 more"


def test_customers_of_all_ranges_are_compared(buyers: Segment, monkeypatch) -> None:
    monkeypatch.setattr(verification, "RANGE_SIZE", 2)
    shop.orders(*(f"p{n},d{n},2026-03-01,10" for n in range(5)))
    shop.command("refresh_segments", *AT)
    Membership.objects.filter(customer__customer_id__in=["c1", "d4"]).delete()

    said = shop.failing("verify_segments").splitlines()

    assert said == ["buyers: DIFFERENT, 5 members compared", "  missing: c1, d4"]


@pytest.mark.usefixtures("buyers")
def test_wrong_stored_facts_are_found() -> None:
    Facts.objects.filter(customer__customer_id="c3").update(order_count=1)
    shop.segment("again", BUYERS)
    shop.command("refresh_segments", "again", *AT)

    assert "  extra: c3" in shop.failing("verify_segments")


@pytest.mark.parametrize("update_facts", [True, False], ids=["updated", "queued"])
@pytest.mark.usefixtures("buyers")
def test_customers_touched_since_the_refresh_are_left_out_and_counted(update_facts) -> None:
    shop.orders("o3,c3,2026-03-03,10", "o4,c9,2026-03-03,10", update_facts=update_facts)

    assert shop.command("verify_segments") == (
        "buyers: right, 2 members compared, 2 customers waiting for the next refresh\n"
    )


@pytest.mark.parametrize("update_facts", [True, False], ids=["updated", "queued"])
def test_merged_visitors_wait_for_the_next_refresh_only(update_facts) -> None:
    shop.events("m1,,a1,View,2026-03-01", "m2,,a2,View,2026-03-01")
    shop.segment("viewers", {"event_count": {"at_least": 1}})
    shop.command("refresh_segments", *AT)

    shop.events("m3,c1,a1,Signed In,2026-03-02", update_facts=update_facts)
    said = shop.command("verify_segments")
    assert said == "viewers: right, 1 members compared, 2 customers waiting for the next refresh\n"

    shop.command("refresh_segments", *AT)
    assert shop.command("verify_segments") == "viewers: right, 2 members compared\n"

    segment = Segment.objects.get()
    Membership.objects.create(
        customer=Customer.objects.exclude(merged_into=None).get(), segment=segment, entered_at=NOON
    )
    assert "  extra: anonymous:a1" in shop.failing("verify_segments")


def test_statistics_are_those_of_the_refresh() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,4")
    shop.segment("big", {"total_spent": {"above": "average"}})
    shop.command("refresh_segments", *AT)

    shop.orders("o3,c3,2026-03-01,1000")

    assert shop.command("verify_segments") == (
        "big: right, 1 members compared, 1 customers waiting for the next refresh\n"
    )


def test_customers_who_changed_in_a_referred_segment_wait_for_the_next_refresh() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-04-01,4")
    shop.segment("recent", {"last_order": {"within_last": "30d"}})
    shop.segment("others", {"none": [{"in_segment": {"is": "recent"}}]})
    shop.command("refresh_segments", *AT)
    shop.command("refresh_segments", "recent", *LATER)

    everybody_waits = "not compared, nobody is left to compare: all 2 customers wait for the next refresh"
    assert shop.failing("verify_segments", status=2).splitlines() == [
        f"others: {everybody_waits}",
        f"recent: {everybody_waits}",
    ]

    shop.command("refresh_segments", *LATER)
    assert shop.command("verify_segments").splitlines()[0] == "others: right, 1 members compared"


def test_a_skipped_segment_has_a_reason(buyers: Segment) -> None:
    shop.segment("fresh", BUYERS)
    segment_store.create_fixed_list("chosen", "Chosen", [], NOON)
    buyers.rule = {"order_count": {"at_least": 2}}
    segment_store.save_segment(buyers)

    assert shop.failing("verify_segments", status=2).splitlines() == [
        "buyers: not compared, edited since its refresh",
        "chosen: not compared, a fixed list has no rule to compare with",
        "fresh: not compared, never refreshed",
    ]


@pytest.mark.parametrize("among", ["no segments", "no customers", "everybody waits"])
def test_a_verification_that_compared_nobody_is_not_called_right(among, admin_client, capsys) -> None:
    if among != "no segments":
        shop.segment("buyers", BUYERS)
        shop.command("refresh_segments")
    if among == "everybody waits":
        shop.orders("o1,c1,2026-03-01,10", update_facts=False)

    said = shop.failing("verify_segments", status=2)

    assert "right" not in said
    assert "Nobody was compared" in capsys.readouterr().err
    assert Verification.objects.get().state == "nobody"
    shown = admin_client.get(reverse("admin:segments_verification_changelist")).content.decode()
    assert "compared nobody" in shown.lower()
    front = admin_client.get(reverse("admin:index")).content.decode()
    assert ("The last verification compared nobody" in front) == (among != "no segments")
    assert "All members were right" not in front


def test_a_segment_without_members_among_customers_is_right(buyers: Segment) -> None:
    shop.segment("rich", {"total_spent": {"at_least": 10**6}})
    shop.command("refresh_segments", *AT)

    assert "rich: right, 0 members compared" in shop.command("verify_segments")


def test_an_invalid_rule_does_not_stop_the_verification_of_others(buyers: Segment) -> None:
    shop.segment("old", BUYERS)
    shop.command("refresh_segments", *AT)
    Segment.objects.filter(slug="old").update(rule={"gone": {}})

    assert shop.command("verify_segments").splitlines() == [
        "buyers: right, 2 members compared",
        "old: not compared, rule.gone: is not a known filter or group",
    ]


def test_verifying_changes_nothing(buyers: Segment) -> None:
    shop.orders("o3,c3,2026-03-03,10", update_facts=False)
    before = shop.rows_of(*shop.RECORDS, *shop.MEMBERS)

    shop.command("verify_segments")

    assert shop.rows_of(*shop.RECORDS, *shop.MEMBERS) == before
    assert update.update_facts() == 1
