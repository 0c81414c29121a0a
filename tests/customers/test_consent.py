"""The history of consent: every state it took, when, and what told so."""

from datetime import UTC, datetime

import pytest

from customers.models import ConsentChange, Customer
from tests import shop
from tests.api.client import Caller

pytestmark = pytest.mark.django_db

HEADER = "customer_id,newsletter,subscribed_at"


def history() -> list[tuple[str, str]]:
    changes = ConsentChange.objects.order_by("pk")
    return list(changes.values_list("customer__customer_id", "state"))


def test_each_state_is_kept_also_within_one_file_and_none_twice() -> None:
    shop.customers(
        "c1,subscribed,2026-01-01", "c2,never,", "c1,unsubscribed,", "c1,subscribed,2026-02-01", header=HEADER
    )
    assert history() == [("c1", "subscribed"), ("c1", "unsubscribed"), ("c1", "subscribed")]

    shop.customers("c1,subscribed,2026-02-01", "c2,,", header=HEADER)
    assert len(history()) == 3


def test_a_subscription_counts_from_when_the_shop_says_and_its_end_from_now() -> None:
    before = datetime.now(UTC)
    shop.customers("c1,subscribed,2026-01-01", "c1,unsubscribed,", header=HEADER)

    subscribed, unsubscribed = ConsentChange.objects.order_by("pk")
    assert subscribed.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert unsubscribed.at >= before


def test_a_joined_visitor_brings_no_consent_of_its_own_and_keeps_none() -> None:
    shop.customers("c1,subscribed,", header=HEADER)
    shop.events("m1,,a1,Seen,2026-03-01T10:00:00Z", "m2,c1,a1,Seen,2026-03-01T11:00:00Z")

    assert history() == [("c1", "subscribed")]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Subscribed", "subscribed"),
        ("yes", "subscribed"),
        ("TRUE", "subscribed"),
        ("1", "subscribed"),
        ("No", "unsubscribed"),
        ("false", "unsubscribed"),
        ("UNSUBSCRIBED", "unsubscribed"),
        ("Never", "never"),
    ],
)
def test_files_and_the_api_take_the_words_that_messages_take(word: str, state: str) -> None:
    shop.customers(f"file,{word}", header="customer_id,newsletter")
    caller = Caller("ingest")
    caller.post("customers/", {"customer_id": "api", "newsletter": word}, status=201)

    assert set(Customer.objects.values_list("newsletter", flat=True)) == {state}


def test_the_api_takes_true_and_false_for_consent() -> None:
    caller = Caller("ingest")
    caller.post(
        "customers/", [{"customer_id": "a", "newsletter": True}, {"customer_id": "b", "newsletter": False}]
    )

    states = dict(Customer.objects.values_list("customer_id", "newsletter"))
    assert states == {"a": "subscribed", "b": "unsubscribed"}
