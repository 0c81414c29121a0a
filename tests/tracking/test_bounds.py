"""Limits on what strangers can store."""

import time

import pytest

from customers.models import Customer, RefusedMessage
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, message, send, signed, source, track

pytestmark = pytest.mark.django_db


def customers() -> int:
    return Customer.objects.existing().count()


def test_a_request_with_a_browser_key_creates_at_most_a_hundred_visitors() -> None:
    _, key = source("browser")
    send(key, track("View", anonymous="known"))

    send(
        key,
        *(track("View", anonymous=f"a{n}") for n in range(130)),
        *(identify(f"c{n}", f"a{n}") for n in range(0, 130, 10)),
        track("View", anonymous="known"),
    )
    assert customers() == 101
    assert Customer.objects.existing().filter(customer_id__startswith="c").count() == 10
    refused = RefusedMessage.objects.values_list("reason", flat=True)
    assert len(refused) == 30 + 3
    assert {reason.partition(";")[0] for reason in refused} == {
        "anonymousId: the request has more than 100 new visitors"
    }

    send(key, *(track("View", anonymous=f"b{n}") for n in range(100)))
    assert customers() == 201


@pytest.mark.parametrize(
    "field", ["userId", "anonymousId", "messageId", "email", "phone", "firstName", "other"]
)
@pytest.mark.parametrize(
    "text", ["e" + "\u0301\u0316" * 3_500, "1" + " " * 15_000 + "x"], ids=["marks", "spaces"]
)
def test_a_text_that_takes_long_to_clean_costs_no_time(field, text) -> None:
    _, key = source("server")
    one = identify("c1", "a1")
    fields = one if field.endswith("Id") else one.setdefault("traits", {})
    started = time.process_time()

    send(key, {**one, field: text} if fields is one else {**one, "traits": {**fields, field: text}})

    assert time.process_time() - started < 1


def test_requests_processed_together_are_limited_separately() -> None:
    _, key = source("browser")
    for n in range(3):
        send(key, *(track("View", anonymous=f"a{n}-{m}") for m in range(80)), drain=n == 2)

    assert (customers(), RefusedMessage.objects.count()) == (240, 0)


@pytest.mark.parametrize("way", ["user ids of a source that trusts them", "aliases that are signed"])
def test_new_customers_of_a_browser_key_are_limited_likewise(way) -> None:
    if way.startswith("user"):
        _, key = source("browser", trusts_unsigned_ids=True)
        sent = [track("View", user=f"c{n}") for n in range(130)]
    else:
        web, key = source("browser")
        sent = [
            message("alias", user="c", anonymous="a", previousId=f"a{n}", context=signed(web, "c"))
            for n in range(130)
        ]

    send(key, *sent)

    assert RefusedMessage.objects.count() == 30


def test_requests_of_a_server_are_not_limited() -> None:
    send(source("server")[1], *(track("View", anonymous=f"a{n}") for n in range(130)))

    assert (customers(), RefusedMessage.objects.count()) == (130, 0)


# -- Attributes


def attributes(customer_id: str) -> set[str]:
    return set(Customer.objects.get(customer_id=customer_id).attributes)


def numbered(letter: str, count: int) -> dict[str, str]:
    return {f"{letter}{n:03}": "x" for n in range(count)}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_customer_has_the_two_hundred_earliest_attributes(order) -> None:
    _, key = source()
    told = [
        identify("c1", at="2026-03-01", **numbered("b", 120)),
        identify("c1", at="2026-03-02", **numbered("a", 150)),
        identify("c1", at="2026-03-03", **numbered("c", 50), b000="y"),
    ]
    for place in order:
        send(key, told[place])

    assert attributes("c1") == {*numbered("b", 120), *numbered("a", 80)}
    assert Customer.objects.get().attributes["b000"] == "y"
    shop.assert_facts_are_those_of_the_records()


def test_exceeding_the_attribute_limit_is_reported_once() -> None:
    _, key = source()
    for n in range(3):
        send(key, identify("c1", **numbered(f"a{n}-", 150)), identify("c2", **numbered("b", 900)))

    assert (len(attributes("c1")), attributes("c2")) == (200, set(numbered("b", 200)))
    refused = RefusedMessage.objects.order_by("message").values_list("reason", flat=True)
    assert (
        list(refused)
        == ["attributes: a customer has at most 200; the earliest ones are kept (the rest was kept)"] * 2
    )


def test_a_stranger_cannot_use_up_the_attributes_of_a_customer() -> None:
    _, key = source("browser")
    send(key, identify("c1", "evil", **numbered("a", 200)))
    shop.import_rows("customers", "c1,gold", header="customer_id,tier")

    assert attributes("c1") == {"tier"}
    assert len(attributes("anonymous:evil")) == 200


def wide(letter: str, count: int, customer: str = "c1") -> shop.Imported:
    names = numbered(letter, count)
    return shop.import_rows("customers", [customer, *names.values()], header=f"customer_id,{','.join(names)}")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_attributes_of_files_come_before_those_of_messages(order) -> None:
    _, key = source()
    steps = [lambda: wide("f", 150), lambda: send(key, identify("c1", **numbered("a", 100)))]
    for place in order:
        steps[place]()

    assert attributes("c1") == {*numbered("f", 150), *numbered("a", 50)}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_too_many_attributes_of_files_are_a_warning(order) -> None:
    done = [wide(letter, 150) for letter in order]

    assert attributes("c1") == {*numbered("a", 150), *numbered("b", 50)}
    assert [one.warnings for one in done] == [
        [],
        ["attributes: a customer has at most 200; the earliest ones are kept (1): line 2"],
    ]
    again = wide("c", 10).warnings
    assert len(again) == 1


def test_too_many_attributes_by_the_api_are_a_warning() -> None:
    told = ApiClient("ingest").post("customers/", [{"customer_id": "c1", "attributes": numbered("a", 250)}])

    assert attributes("c1") == set(numbered("a", 200))
    [result] = told["results"]
    assert result["warnings"] == [
        {"path": "attributes", "message": "a customer has at most 200; the earliest ones are kept"}
    ]


def test_attributes_come_back_when_the_browsers_that_used_up_the_limit_leave() -> None:
    _, key = source()
    send(key, identify("c1", at="2026-03-02", **numbered("b", 150)))
    send(key, identify(anonymous="a1", at="2026-03-01", **numbered("a", 150)))
    send(key, message("alias", user="c1", previousId="a1", at="2026-03-05"))
    assert attributes("c1") == {*numbered("a", 150), *numbered("b", 50)}

    send(key, message("alias", user="c2", previousId="a1", at="2026-03-04"))

    assert attributes("c1") == set(numbered("b", 150))
    assert attributes("c2") == set(numbered("a", 150))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_browser_displaces_no_attribute_of_a_server(order) -> None:
    key, of_browser = source()[1], source("browser", trusts_unsigned_ids=True)[1]
    calls = [
        (key, identify("c1", tier="gold")),
        (of_browser, identify("c1", "a1", at="2001-01-01T00:00:00Z", **numbered("a", 200))),
    ]
    for number in order:
        send(calls[number][0], calls[number][1])

    assert attributes("c1") == {"tier", *numbered("a", 199)}
    assert Customer.objects.get(customer_id="c1").attributes["tier"] == "gold"
