"""Idempotency keys: a request is done once, and each repetition gets the same response."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.urls import include, path
from django_celery_beat.models import PeriodicTask
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import tasks
from core.api import keys
from core.api.authentication import require_scope
from core.api.idempotency import idempotent
from core.models import IdempotentResponse
from customers.models import Customer
from tests.support.shop import NOON

from .test_errors import problem

pytestmark = pytest.mark.django_db

CUSTOMERS, EVENTS = "/api/v1/customers/", "/api/v1/events/"
ANNA = {"customer_id": "c1", "email": "anna@example.org"}

Post = Callable[..., Any]


def sender() -> Post:
    """A client with its own API key that posts with an idempotency key."""
    _, secret = keys.create_key("shop", ["ingest"])

    def post(sent: Any, key: str | None = "k-1", address: str = CUSTOMERS) -> Any:
        headers = {"Authorization": f"Bearer {secret}"} | ({"Idempotency-Key": key} if key else {})
        return Client(raise_request_exception=False).post(
            address, sent, content_type="application/json", headers=headers
        )

    return post


@pytest.fixture
def post() -> Post:
    return sender()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def is_replayed(response: Any) -> bool:
    return bool(response.headers.get("Idempotent-Replayed") == "true")


def test_a_repeated_request_gets_the_same_response_and_has_no_further_effect(post: Post) -> None:
    first = post(ANNA)
    Customer.objects.update(city="Köln", email="")

    again = post({"email": "anna@example.org", "customer_id": "c1"}, '"k-1"')

    assert (first.status_code, is_replayed(first)) == (201, False)
    assert (again.status_code, is_replayed(again)) == (201, True)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"]
    assert Customer.objects.get().email == ""  # the second one was not taken
    assert post(ANNA, None).status_code == 200


def test_a_key_cannot_be_used_for_another_request(post: Post) -> None:
    post(ANNA)

    for other, address in ((ANNA | {"email": "b@example.org"}, CUSTOMERS), (ANNA, f"{CUSTOMERS}?x=1")):
        assert problem(post(other, address=address), 422)["code"] == "key_reused"
    assert Customer.objects.get().email == "anna@example.org"


def test_keys_are_separate_for_each_caller_and_url(post: Post) -> None:
    post(ANNA)
    staff = Client(headers={"Idempotency-Key": "k-1"})
    staff.force_login(User.objects.create_superuser("anna"))

    for response in (
        post(ANNA, "k-2"),
        sender()(ANNA),
        staff.post(CUSTOMERS, ANNA, content_type="application/json"),
        post({}, address=EVENTS),
    ):
        assert not is_replayed(response)
    assert is_replayed(staff.post(CUSTOMERS, ANNA, content_type="application/json"))


def test_a_repeated_invalid_request_gets_the_same_error(post: Post) -> None:
    first = post({"email": "nobody"})
    again = post({"email": "nobody"})

    assert problem(first, 400) == problem(again, 400)
    assert (is_replayed(first), is_replayed(again)) == (False, True)


@pytest.mark.parametrize("key", ["", '""', "two words", "ü", "k" * 256, "a\x00b"])
def test_an_invalid_key_is_refused(key: str, post: Post) -> None:
    headers = {"Idempotency-Key": key}
    _, secret = keys.create_key("shop", ["ingest"])
    response = Client().post(
        CUSTOMERS, ANNA, content_type="application/json",
        headers=headers | {"Authorization": f"Bearer {secret}"},
    )  # fmt: skip

    assert problem(response, 400)["errors"][0]["path"] == "Idempotency-Key"
    assert not Customer.objects.exists()


def test_a_body_nested_deeply_is_read_or_refused(post: Post) -> None:
    told = {depth: post("[" * depth + "]" * depth, f"k-{depth}") for depth in (300, 600, 900, 100_000)}

    assert {response.status_code for response in told.values()} <= {200, 400}
    problem(told[100_000], 400)


def test_responses_are_kept_for_a_day(post: Post, clock: time_machine.Traveller) -> None:
    post(ANNA)
    clock.shift(timedelta(hours=23, minutes=59))
    assert is_replayed(post(ANNA))
    tasks.delete_old_idempotent_responses()
    assert is_replayed(post(ANNA))

    clock.shift(timedelta(minutes=1))
    assert post(ANNA | {"city": "Köln"}).status_code == 200  # a new request, whether deleted or not
    clock.shift(timedelta(hours=24))
    for _ in range(2):
        tasks.delete_old_idempotent_responses()
        assert not IdempotentResponse.objects.exists()


def test_a_task_deletes_old_responses() -> None:
    assert PeriodicTask.objects.get(task="core.tasks.delete_old_idempotent_responses").enabled


# -- What fails, and what takes its time


class Making(APIView):
    """A view that creates a customer, and then calls a function of the test."""

    permission_classes = [require_scope("ingest")]
    in_the_beginning: Callable[[], object]
    before_the_end: Callable[[], object]

    @idempotent
    def post(self, request: Request) -> Response:
        """Make."""
        given: Any = request.data
        Making.in_the_beginning()
        Customer.objects.get_or_create(customer_id=given["id"], defaults={"recorded_at": NOON})
        Making.before_the_end()
        return Response({"made": given["id"]}, status=201, headers={"Location": "/x/"})


urlpatterns = [path("making/", Making.as_view()), path("", include("segments_project.urls"))]


@pytest.fixture
def make() -> Iterator[Post]:
    post = sender()
    Making.in_the_beginning = Making.before_the_end = lambda: None
    with override_settings(ROOT_URLCONF=__name__):
        yield lambda who="c1": post({"id": who}, address="/making/")


def failing(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


class Unavailable(APIException):
    """Something else is away."""

    status_code = 503


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("a fault"), 500), (Unavailable(), 503)])
def test_a_request_that_failed_with_a_server_error_is_executed_when_repeated(
    error: Exception, status: int, make: Post
) -> None:
    Making.before_the_end = failing(error)
    assert make().status_code == status
    assert not Customer.objects.exists()

    Making.before_the_end = lambda: None
    assert make().status_code == 201
    again = make()

    assert is_replayed(again)
    assert again["Location"] == "/x/"
    assert Customer.objects.count() == 1


def test_a_server_that_is_stopped_during_a_request_leaves_nothing_behind(make: Post) -> None:
    Making.before_the_end = failing(SystemExit(1))
    with pytest.raises(SystemExit):
        make()

    assert not Customer.objects.exists()
    assert not IdempotentResponse.objects.exists()


def test_a_repetition_during_the_request_is_told_to_wait(make: Post) -> None:
    meanwhile: list[Any] = []
    Making.before_the_end = lambda: meanwhile.extend([make(), make("c2")])

    assert make().status_code == 201

    assert problem(meanwhile[0], 409)["code"] == "still_running"
    assert meanwhile[0]["Retry-After"] == "1"
    problem(meanwhile[1], 422)
    assert is_replayed(make())


@pytest.mark.django_db(transaction=True)
def test_a_hanging_request_and_its_repetition_are_executed_once(
    make: Post, clock: time_machine.Traveller
) -> None:
    """The first request hangs until its lease expires, the second takes over, and then the first ends."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer: the second waits for the first")
    second: list[Any] = []

    def send_again() -> None:
        second.append(make())
        connection.close()

    def hang() -> None:
        Making.in_the_beginning = Making.before_the_end = lambda: None
        clock.shift(timedelta(minutes=6))
        thread = threading.Thread(target=send_again)
        thread.start()
        thread.join(timeout=20)

    Making.in_the_beginning = hang
    first = make()

    assert second[0].status_code == 201
    assert problem(first, 409)["code"] == "still_running"
    assert Customer.objects.count() == 1
    assert make().content == second[0].content
