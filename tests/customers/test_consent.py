"""The history of consent: each state with its time and its source."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from campaigns import unsubscription
from customers.consent import statements, suppression
from customers.models import AddressUnsubscription, ConsentChange, Customer, Suppression
from customers.privacy import personal_data
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, send, source

pytestmark = pytest.mark.django_db

HEADER = "customer_id,newsletter,subscribed_at"


def history() -> list[tuple[str, str]]:
    changes = ConsentChange.objects.order_by("pk")
    return list(changes.values_list("customer__customer_id", "state"))


def test_each_change_of_state_enters_the_history_once() -> None:
    shop.customers(
        "c1,subscribed,2026-01-01", "c2,never,", "c1,unsubscribed,", "c1,subscribed,", header=HEADER
    )
    assert history() == [("c1", "subscribed"), ("c1", "unsubscribed"), ("c1", "subscribed")]

    shop.customers("c1,subscribed,2026-02-01", "c2,,", header=HEADER)
    assert len(history()) == 3


def test_a_subscription_from_before_an_unsubscription_does_not_end_it() -> None:
    shop.customers("c1,unsubscribed,", header=HEADER)
    done = shop.customers("c1,subscribed,2026-02-01", header=HEADER)

    assert history() == [("c1", "unsubscribed")]
    assert done.warnings == ["kept unsubscribed: 1 (the customer unsubscribed later): line 2"]


def test_a_subscription_counts_from_its_date_and_an_unsubscription_from_its_arrival() -> None:
    before = datetime.now(UTC)
    shop.customers("c1,subscribed,2026-01-01", "c1,unsubscribed,", header=HEADER)

    subscribed, unsubscribed = ConsentChange.objects.order_by("pk")
    assert subscribed.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert unsubscribed.at >= before


def test_a_merged_visitor_neither_brings_nor_keeps_consent() -> None:
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
def test_files_the_api_and_messages_accept_the_same_words_for_consent(word: str, state: str) -> None:
    shop.customers(f"file,{word}", header="customer_id,newsletter")
    caller = ApiClient("ingest")
    caller.post("customers/", {"customer_id": "api", "newsletter": word}, status=201)

    assert set(Customer.objects.values_list("newsletter", flat=True)) == {state}


def test_the_api_accepts_true_and_false_for_consent() -> None:
    caller = ApiClient("ingest")
    caller.post(
        "customers/", [{"customer_id": "a", "newsletter": True}, {"customer_id": "b", "newsletter": False}]
    )

    states = dict(Customer.objects.values_list("customer_id", "newsletter"))
    assert states == {"a": "subscribed", "b": "unsubscribed"}


# -- Newest statement wins, by the time it was made


def state_of(customer_id: str) -> str:
    return Customer.objects.get(customer_id=customer_id).newsletter


class Doors:
    """The ways in which a statement about customer ``c1`` comes."""

    def __init__(self) -> None:
        self.api = ApiClient("ingest")
        _, self.server = source()
        _, self.browser = source("browser")

    def say(self, way: str, word: str, at: str = "") -> Any:
        match way:
            case "file":
                return shop.customers(f"c1,c1@example.com,{word},{at}", header=CONTACTS).warnings
            case "api":
                sent = {
                    "customer_id": "c1",
                    "email": "c1@example.com",
                    "newsletter": word,
                    "subscribed_at": at,
                }
                return self.api.post("customers/", [sent])["results"]
            case "server":
                return send(self.server, identify("c1", at=at, email="c1@example.com", newsletter=word))
            case "link":
                return unsubscription.unsubscribe(
                    Customer.objects.get(customer_id="c1").pk, datetime.now(UTC)
                )
        raise AssertionError(way)


CONTACTS = "customer_id,email,newsletter,subscribed_at"


@pytest.mark.parametrize("undated", ["file", "api"])
@pytest.mark.parametrize("ending", ["link", "server", "file", "api"])
def test_an_undated_subscription_ends_only_undated_unsubscriptions_by_the_same_method(
    undated: str, ending: str
) -> None:
    doors = Doors()
    doors.say("file", "subscribed", "2026-01-05T10:00:00Z")
    doors.say(ending, "unsubscribed", "2026-02-01T10:00:00Z" if ending == "server" else "")
    assert state_of("c1") == "unsubscribed"

    told = doors.say(undated, "subscribed")

    assert state_of("c1") == ("subscribed" if undated == ending else "unsubscribed")
    kept = {
        "file": "kept unsubscribed: 1",
        "api": "{'index': 0, 'status': 'accepted', 'kept': 'unsubscribed'}",
    }
    assert (kept[undated] in str(told)) is (undated != ending)


@pytest.mark.parametrize("way", ["file", "api", "server"])
def test_a_dated_subscription_counts_by_its_date(way: str) -> None:
    doors = Doors()
    send(doors.server, identify("c1", at="2026-02-01T10:00:00Z", email="c1@example.com", newsletter=False))

    doors.say(way, "subscribed", "2026-01-31T10:00:00Z")
    assert state_of("c1") == "unsubscribed"

    doors.say(way, "subscribed", "2026-02-02T10:00:00Z")
    assert state_of("c1") == "subscribed"


def test_a_subscription_dated_ahead_counts_at_its_receipt() -> None:
    doors = Doors()
    doors.say("file", "subscribed", "2999-01-01T10:00:00Z")
    doors.say("link", "")

    assert state_of("c1") == "unsubscribed"
    doors.say("file", "subscribed", "2999-01-01T10:00:00Z")
    assert state_of("c1") == "subscribed"


def test_never_revokes_a_subscription_and_ends_no_unsubscription() -> None:
    shop.customers("c1,subscribed,2026-01-05", "c2,unsubscribed,", header=HEADER)
    shop.customers("c1,never,", "c2,never,", header=HEADER)

    assert (state_of("c1"), state_of("c2")) == ("never", "unsubscribed")


def test_the_command_reports_who_stays_unsubscribed(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(
        "customer_id,email,newsletter,subscribed_at\nc1,c1@example.com,subscribed,2026-01-05T10:00:00Z\n"
    )
    shop.command("import_csv", "customers", file)
    unsubscription.unsubscribe(Customer.objects.get().pk, datetime.now(UTC))

    assert "kept unsubscribed 1" in shop.command("import_csv", "customers", file)
    assert state_of("c1") == "unsubscribed"


# -- An unsubscription holds for the address


@pytest.mark.parametrize("spelling", ["twice@example.com", "Twice@EXAMPLE.com", "twice@example.com\u200b"])
@pytest.mark.parametrize("way", ["link", "server", "file", "api"])
def test_an_unsubscription_holds_for_everybody_who_has_the_address(way: str, spelling: str) -> None:
    doors = Doors()
    shop.import_rows(
        "customers",
        ["other", spelling, "subscribed"],
        ["c1", "twice@example.com", "subscribed"],
        header="customer_id,email,newsletter",
    )
    match way:
        case "server":
            send(doors.server, identify("c1", newsletter=False, at="2999-01-01T00:00:00Z"))
        case "file":
            shop.customers("c1,unsubscribed", header="customer_id,newsletter")
        case "api":
            doors.api.post("customers/", [{"customer_id": "c1", "newsletter": False}])
        case "link":
            doors.say("link", "")

    assert (state_of("c1"), state_of("other")) == ("unsubscribed", "unsubscribed")

    shop.customers("late,twice@example.com,subscribed,2026-01-01", header=CONTACTS)
    assert state_of("late") == "unsubscribed"


def test_an_unsubscription_holds_for_the_address_that_it_names_even_if_its_customer_has_another() -> None:
    _, key = source()
    send(
        key,
        identify("", "a2", at="2026-03-01T00:00:00Z", email="x@example.com"),
        identify("c2", "", at="2026-03-01T00:00:00Z", email="y@example.com"),
        identify("", "a4", at="2026-03-01T00:15:00Z", email="x@example.com", newsletter=False),
        identify("c1", "a2", at="2026-03-01T00:00:00Z"),
        identify("c2", "a4", at="2026-03-01T00:00:00Z"),
    )
    send(key, identify("c1", "a4", at="2026-03-01T00:15:00Z", email="x@example.com"))

    assert Customer.objects.get(customer_id="c2").email == "y@example.com"
    assert state_of("c1") == "unsubscribed"


def test_subscribing_again_counts_only_for_the_customer_who_does() -> None:
    shop.customers("a,x@example.com,subscribed,", "b,x@example.com,subscribed,", header=CONTACTS)
    shop.customers("a,x@example.com,unsubscribed,", header=CONTACTS)
    shop.customers("a,x@example.com,subscribed,", header=CONTACTS)

    assert (state_of("a"), state_of("b")) == ("subscribed", "unsubscribed")


def test_an_unsubscription_follows_the_address_and_stays_with_the_customer() -> None:
    shop.customers("a,x@example.com,unsubscribed,", "b,y@example.com,subscribed,2026-01-01", header=CONTACTS)

    shop.customers("b,x@example.com")
    assert state_of("b") == "unsubscribed"
    shop.customers("b,y@example.com")
    shop.customers("a,z@example.com")
    assert (state_of("a"), state_of("b")) == ("unsubscribed", "subscribed")


def test_a_statement_of_a_visitor_counts_for_the_customer_only_if_it_names_the_address() -> None:
    _, key = source()
    send(key, identify("", "a1", email="x@example.com", newsletter=True))
    send(key, identify("", "a2", newsletter=True))
    shop.customers("c1,x@example.com", "c2,y@example.com")
    shop.events("m1,c1,a1,Seen,2026-03-01T10:00:00Z", "m2,c2,a2,Seen,2026-03-01T11:00:00Z")

    assert (state_of("c1"), state_of("c2")) == ("subscribed", "never")


# -- Suppression, and the erased


def test_a_suppression_holds_until_it_is_lifted_and_a_complaint_also_unsubscribes() -> None:
    now = datetime.now(UTC)
    shop.customers("a,x@example.com,subscribed,", "b,y@example.com,subscribed,", header=CONTACTS)

    assert suppression.suppress("X@Example.com", now, reason=suppression.Reason.BOUNCED, source="mail server")
    assert not suppression.suppress(
        "x@example.com", now, reason=suppression.Reason.BOUNCED, source="mail server"
    )
    suppression.suppress("y@example.com", now, reason=suppression.Reason.COMPLAINED, source="mail server")

    assert suppression.is_suppressed("x@example.com")
    assert (state_of("a"), state_of("b")) == ("subscribed", "unsubscribed")
    suppression.lift_suppression(Suppression.objects.get(address="x@example.com"))
    assert not suppression.is_suppressed("x@example.com")


def test_an_erased_customer_who_is_imported_again_stays_unsubscribed_and_suppressed() -> None:
    now = datetime.now(UTC)
    _, key = source()
    send(key, identify("a", email="jo\u0308rg@Example.com", newsletter=False))
    shop.customers("b,gone@example.com,subscribed,2026-01-01", header=CONTACTS)
    suppression.suppress("gone@example.com", now, reason=suppression.Reason.BOUNCED, source="mail server")
    for customer in list(Customer.objects.all()):
        personal_data.erase_customer(customer, now)

    kept = [
        *AddressUnsubscription.objects.values_list("address"),
        *Suppression.objects.values_list("address"),
    ]
    assert kept == [(None,), (None,)]
    assert suppression.is_suppressed("Gone@example.com")

    done = shop.customers(
        "a2,j\u00f6rg@example.com,subscribed,2026-01-01", "b2,gone@example.com,subscribed,", header=CONTACTS
    )

    assert state_of("a2") == "unsubscribed"
    assert len(done.warnings) == 1
    assert suppression.is_suppressed("gone@example.com")


def test_consent_of_an_address_stays_while_another_customer_has_it() -> None:
    now = datetime.now(UTC)
    shop.customers("a,x@example.com,subscribed,", "b,x@example.com,subscribed,", header=CONTACTS)
    statements.unsubscribe("x@example.com", now, source="staff")

    personal_data.erase_customer(Customer.objects.get(customer_id="a"), now)

    assert AddressUnsubscription.objects.get().address == "x@example.com"


def test_staff_suppress_an_address_and_lift_it_and_the_audit_log_names_no_address(
    admin_client: Client,
) -> None:
    page = reverse("admin:customers_suppression_add")
    told = admin_client.post(page, {"email": "Gone@Example.com\u200b", "_continue": "1"}, follow=True)
    assert "The address is suppressed and gets no more messages." in told.content.decode()
    assert suppression.is_suppressed("gone@example.com")
    listed = reverse("admin:customers_suppression_changelist")
    assert "gone@example.com" in admin_client.get(listed).content.decode()

    admin_client.post(listed, {"action": "lift", "_selected_action": [Suppression.objects.get().pk]})

    assert not suppression.is_suppressed("gone@example.com")
    trail = LogEntry.objects.values_list("object_repr", "change_message")
    assert len(trail) == 2
    assert "gone" not in str(list(trail))
