"""Export and erasure are complete; what remains after an erasure is exact and names nobody."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError
from django.db import connection

from customers.identity import lookup
from customers.models import Customer, Erasure, Event, Identity, Order, Tombstone
from customers.privacy import personal_data
from segments import segment_store
from segments.changes import retention
from segments.models import Change, Membership, RefreshResult, Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from tests.support import shop

pytestmark = [pytest.mark.django_db, pytest.mark.distributed_keys]

SPENDERS = {"total_spent": {"above": "average"}}
PEOPLE = "customer_id,email,first_name,newsletter,subscribed_at,first_seen,tier"
ANNA = "anna-1,anna@secret.example,Anna,subscribed,2026-01-02,2025-05-05,gold"
ANNAS_ORDERS = ("o-anna-1,anna-1,2026-01-10,900", "o-anna-2,anna-1,2026-02-10,90")
ANNAS_LINE = "o-anna-1,sku-1,2"
ANNAS_EVENTS = (
    "m-anna-1,,browser-of-anna,Seen,2026-01-09",
    "m-anna-2,anna-1,browser-of-anna,Seen,2026-01-09",
)
NAMES = ("anna", "Anna", "secret.example")


def tell_of_anna() -> None:
    shop.customers(ANNA, header=PEOPLE)
    shop.orders(*ANNAS_ORDERS)
    shop.lines(ANNAS_LINE)
    shop.events(*ANNAS_EVENTS)


@pytest.fixture
def with_others() -> None:
    """Anna, who has a joined browser, among two others; refreshed."""
    shop.events("m-anna-0,,browser-of-anna,Seen,2026-01-08")
    tell_of_anna()
    shop.customers("ben,ben@example.org", "cleo,")
    shop.orders("o1,ben,2026-01-05,100", "o2,cleo,2026-01-06,300")
    shop.segment("known", {"known": {"is": True}})
    shop.segment("spenders", SPENDERS)
    shop.segment("known-spenders", {"in_segment": {"is": "spenders"}})
    refresh_all()


def erase(printed: str = "anna-1") -> Erasure:
    customer = lookup.find_customer(printed)
    assert customer
    return personal_data.erase_customer(customer, datetime.now(UTC), by="a test")


def everything_stored() -> str:
    """All that stands in any table, as one text; temporary ones end with their connection."""
    with connection.cursor() as cursor:
        told = []
        for table in connection.introspection.django_table_names(only_existing=True):
            cursor.execute(f'SELECT * FROM "{table}"')
            told.append(repr(cursor.fetchall()))
    return "\n".join(told)


def assert_all_is_exact() -> None:
    shop.assert_facts_are_those_of_the_records()
    shop.assert_totals_are_those_of_the_facts()
    assert all(verdict.is_correct for verdict in verification.verify(Segment.objects.all()))


def test_an_export_contains_all_personal_data(with_others) -> None:
    told = json.loads(shop.command("export_customer", "anna-1"))

    assert told["customer"]["email"] == "anna@secret.example"
    assert told["customer"]["attributes"] == {"tier": "gold"}
    assert {one["value"] for one in told["identities"]} == {"anna-1", "browser-of-anna"}
    assert [(one["state"], one["at"][:10]) for one in told["consent"]] == [("subscribed", "2026-01-02")]
    assert [(one["order_id"], one["total"]) for one in told["orders"]] == [
        ("o-anna-1", "900.0000"),
        ("o-anna-2", "90.0000"),
    ]
    assert [line["sku"] for line in told["orders"][0]["lines"]] == ["sku-1"]
    assert [one["message_id"] for one in told["events"]] == ["m-anna-0", "m-anna-1", "m-anna-2"]
    assert (told["facts"]["order_count"], told["facts"]["total_spent"]) == (2, "990.0000")
    assert [one["segment"] for one in told["segments"]["memberships"]] == [
        "known",
        "spenders",
        "known-spenders",
    ]
    assert {one["change"] for one in told["segments"]["changes"]} == {"entered"}


def test_an_erasure_leaves_only_counts(with_others) -> None:
    done = erase()

    assert (done.orders, done.events) == (2, 3)
    assert Customer.objects.count() == 2
    assert not Identity.objects.filter(value__contains="anna").exists()
    assert Change.objects.filter(public_id="", change="entered").count() == 3
    shop.assert_facts_are_those_of_the_records()
    shop.assert_totals_are_those_of_the_facts()
    # Followers of the log are told whom to let go of, for a month.
    assert shop.changes("known")[-1] == ("anna-1", "left", "erasure")
    retention.delete_erased_ids(datetime.now(UTC))
    assert shop.changes("known")[-1] == ("anna-1", "left", "erasure")
    retention.delete_erased_ids(datetime.now(UTC) + retention.ERASED_ID_RETENTION)
    assert not [name for name in NAMES if name in everything_stored()]


def test_after_an_erasure_sizes_are_right_at_once_and_the_rest_with_the_next_refresh(with_others) -> None:
    assert shop.members("spenders") == ["anna-1"]

    erase()

    for segment in Segment.objects.all():
        assert segment.size == Membership.objects.filter(segment=segment).count()
    latest = RefreshResult.objects.filter(segment__slug="known").latest("pk")
    assert (latest.size, latest.known_size, latest.left) == (1, 1, 1)
    refresh_all()
    assert shop.members("spenders") == shop.members("known-spenders") == ["cleo"]
    assert_all_is_exact()


def test_erased_ids_that_are_sent_again_bring_no_past_back(with_others) -> None:
    erase()

    tell_of_anna()
    refresh_all()

    anna = Customer.objects.get(customer_id="anna-1")
    assert (anna.email, anna.first_seen, anna.newsletter, anna.subscribed_at) == (
        *("anna@secret.example", None, "never", None),
    )
    assert (anna.facts.order_count, anna.facts.event_count) == (0, 0)
    assert not Order.objects.filter(order_id__startswith="o-anna").exists()
    assert not Event.objects.filter(message_id__startswith="m-anna").exists()
    assert_all_is_exact()


def test_late_records_from_before_an_erasure_are_skipped(with_others) -> None:
    erase()

    done = shop.orders("o-late,anna-1,2026-02-01,5", "o-new,anna-1,2100-01-01,5", "o3,ben,2026-02-01,5")

    assert done.counts == (3, 2, 0, 0)
    assert "1 row was skipped" in done.warnings[0]
    assert set(Order.objects.values_list("order_id", flat=True)) == {"o1", "o2", "o3", "o-new"}


def test_an_erased_customer_who_signs_up_again_starts_anew(with_others) -> None:
    erase()

    shop.customers("anna-1,anna@new.example,Anna,subscribed,2100-01-01,,", header=PEOPLE)
    shop.orders("o-new,anna-1,2100-01-02,5")

    anna = Customer.objects.get(customer_id="anna-1")
    assert (anna.newsletter, anna.attributes) == ("subscribed", {})
    assert anna.orders.get().order_id == "o-new"


def test_erasing_a_visitor_removes_them_from_the_queues(with_others) -> None:
    shop.events("m9,,a9,Seen,2026-03-01", update_facts=False)

    erase("a9")
    refresh_all()

    assert lookup.find_customer("a9") is None
    assert_all_is_exact()


def test_the_command_erases_once_and_then_finds_nobody(with_others) -> None:
    assert shop.command("erase_customer", "anna-1", "--yes") == "erased, with 2 orders and 3 events\n"

    with pytest.raises(CommandError, match="there is no customer"):
        shop.command("erase_customer", "anna-1", "--yes")


def test_of_two_concurrent_erasures_one_fails(with_others) -> None:
    anna = lookup.find_customer("anna-1")
    assert anna
    erase()

    with pytest.raises(personal_data.AlreadyErased):
        personal_data.erase_customer(anna, datetime.now(UTC))
    assert Erasure.objects.count() == 1
    assert Tombstone.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_erasing_during_ingestion_and_refreshes_leaves_the_data_consistent() -> None:
    segment_store.install_templates()
    shop.customers(*(f"c{n},c{n}@example.org" for n in range(20)))
    ended = threading.Event()
    faults: list[BaseException] = []

    def go_on(work: Callable[[int], object]) -> threading.Thread:
        def worked() -> None:
            try:
                number = 0
                while not ended.is_set():
                    work(number)
                    number += 1
            except BaseException as fault:
                faults.append(fault)
            finally:
                connection.close()

        thread = threading.Thread(target=worked)
        thread.start()
        return thread

    def arrive(number: int) -> None:
        now = datetime.now(UTC).isoformat()
        rows = [f"m{number}-{n},c{n},b{n},Product Added,{now}" for n in range(20)]
        shop.events(*rows, update_facts=False)
        shop.orders(*(f"o{number}-{n},c{n},{now},{n}" for n in range(20)), update_facts=False)

    threads = [go_on(arrive), go_on(lambda _: refresh_all())]
    try:
        for n in range(0, 20, 2):
            erase(f"c{n}")
    finally:
        ended.set()
        for thread in threads:
            thread.join()

    assert not faults
    refresh_all()
    assert Erasure.objects.count() == 10
    assert_all_is_exact()
