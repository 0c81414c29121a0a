"""What strangers send does not grow without limit."""

import pytest

from customers.models import Customer, RefusedMessage
from tests.tracking.sending import identify, message, send, signed, source, track

pytestmark = pytest.mark.django_db


def customers() -> int:
    return Customer.objects.existing().count()


def test_one_request_of_a_browser_key_makes_at_most_a_hundred_visitors() -> None:
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
        "anonymousId: the request brings more than 100 new visitors"
    }

    send(key, *(track("View", anonymous=f"b{n}") for n in range(100)))
    assert customers() == 201


def test_requests_that_are_taken_together_are_bounded_each_by_itself() -> None:
    _, key = source("browser")
    for n in range(3):
        send(key, *(track("View", anonymous=f"a{n}-{m}") for m in range(80)), drain=n == 2)

    assert (customers(), RefusedMessage.objects.count()) == (240, 0)


@pytest.mark.parametrize("way", ["user ids of a source that trusts them", "aliases that are signed"])
def test_new_customers_of_a_browser_key_are_bounded_alike(way) -> None:
    if way.startswith("user"):
        _, key = source("browser", allow_unsigned_joins=True)
        sent = [track("View", user=f"c{n}") for n in range(130)]
    else:
        web, key = source("browser")
        sent = [
            message("alias", user="c", anonymous="a", previousId=f"a{n}", context=signed(web, "c"))
            for n in range(130)
        ]

    send(key, *sent)

    assert RefusedMessage.objects.count() == 30


def test_the_requests_of_a_server_are_not_bounded() -> None:
    send(source("server")[1], *(track("View", anonymous=f"a{n}") for n in range(130)))

    assert (customers(), RefusedMessage.objects.count()) == (130, 0)
