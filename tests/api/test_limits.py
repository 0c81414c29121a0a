"""Rate limits, and what callers without permission can find out."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from core import rate_limits, redis
from core.api import keys
from core.models import ApiKey
from customers.identity import lookup
from segments_project.server import bundled_servers
from tests.support import shop

from .test_errors import problem

pytestmark = pytest.mark.django_db

API = "/api/v1/"
SEGMENTS = f"{API}segments/"
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
EVERYTHING = [scope for scope in keys.SCOPES if scope != keys.VISITORS_SCOPE]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON + timedelta(seconds=20), tick=False) as traveller:
        yield traveller


@pytest.fixture
def rates(settings, clock: time_machine.Traveller) -> Callable[..., None]:
    """Set rate limits, with no request counted yet."""
    redis.call_redis(lambda client: [client.delete(name) for name in client.scan_iter("limits:*")])

    def set_rates(**rates: int) -> None:
        settings.API_RATES = {**settings.API_RATES, **rates}

    return set_rates


def bearer(*scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.create_key('client', scopes or EVERYTHING)[1]}"}


def statuses(times: int, ask: Callable[[], Any]) -> list[int]:
    return [ask().status_code for _ in range(times)]


# -- How often


def test_lists_that_are_ordered_by_an_evaluation_are_costly(rates, client: Client) -> None:
    shop.segment("everybody", {"order_count": {"at_least": 0}})
    rates(costly=1)
    headers = bearer()

    def ask(query: str) -> Any:
        return client.get(f"{SEGMENTS}everybody/members/{query}", headers=headers)

    assert statuses(2, lambda: ask("?order=changes_at")) == [200, 429]
    assert statuses(2, lambda: ask("")) == [200, 200]


def test_a_throttled_caller_learns_when_to_try_again(rates, clock, client: Client) -> None:
    rates(reading=3)
    one, other = bearer(), bearer()

    assert statuses(4, lambda: client.get(SEGMENTS, headers=one)) == [200, 200, 200, 429]

    refused = client.get(SEGMENTS, headers=one)
    assert problem(refused, 429)["code"] == "throttled"
    assert refused["Retry-After"] == "40"
    assert client.get(SEGMENTS, headers=other).status_code == 200  # nobody pays for another
    clock.shift(39)
    assert client.get(SEGMENTS, headers=one).status_code == 429
    clock.shift(1)
    assert client.get(SEGMENTS, headers=one).status_code == 200


def test_reading_ingesting_and_erasing_have_separate_limits(rates, client: Client) -> None:
    rates(reading=1, ingest=2, writing=1)
    key = bearer()
    customer = {"customer_id": "c1"}

    def send() -> Any:
        return client.post(f"{API}customers/", customer, content_type="application/json", headers=key)

    assert statuses(3, send) == [201, 200, 429]
    assert statuses(2, lambda: client.delete(f"{API}customers/c1/", headers=key)) == [204, 429]
    assert statuses(2, lambda: client.get(SEGMENTS, headers=key)) == [200, 429]


def test_limits_count_staff_by_user_and_strangers_by_address(rates, client: Client) -> None:
    rates(reading=1, strangers=2)
    clients = [Client(), Client()]
    for number, staff in enumerate(clients):
        staff.force_login(User.objects.create_superuser(f"staff-{number}"))
    for staff in clients:
        assert statuses(2, partial(staff.get, SEGMENTS)) == [200, 429]

    for address in ("192.0.2.1", "192.0.2.2"):
        told = statuses(3, partial(client.get, "/api/docs/", REMOTE_ADDR=address))
        assert told == [200, 200, 429]


def test_browsers_that_share_a_key_have_separate_limits(rates, client: Client) -> None:
    rates(visitors=2)
    _, key = keys.create_key("Web shop", [keys.VISITORS_SCOPE])

    for address in ("192.0.2.1", "192.0.2.2"):
        ask = partial(client.get, f"{API}visitors/a1/segments/", {"key": key}, REMOTE_ADDR=address)
        assert statuses(3, ask) == [200, 200, 429]


def test_guessing_keys_is_throttled_for_the_guesser_only(rates, client: Client) -> None:
    rates(guesses=3)
    right = bearer()

    def guess(address: str) -> Any:
        return client.get(SEGMENTS, headers={"Authorization": "Bearer seg_guess"}, REMOTE_ADDR=address)

    assert statuses(5, lambda: guess("192.0.2.1")) == [401, 401, 401, 429, 429]
    assert guess("192.0.2.1")["Retry-After"] == "40"
    assert guess("192.0.2.2").status_code == 401
    assert client.get(SEGMENTS, headers=right, REMOTE_ADDR="192.0.2.1").status_code == 200


def test_without_redis_each_process_counts_for_itself(rates, client: Client, settings) -> None:
    rates(reading=1, guesses=1)
    rate_limits._counted_here.clear()
    settings.REDIS_URL = f"redis://127.0.0.1:{bundled_servers.free_port()}/0"
    key = bearer()
    assert statuses(3, lambda: client.get(SEGMENTS, headers=key)) == [200, 429, 429]
    assert statuses(2, lambda: client.get(SEGMENTS, headers={"Authorization": "Bearer x"})) == [401, 429]


# -- What those find out who may not ask


class Door(NamedTuple):
    """A URL of the API and one of its methods."""

    method: str
    address: str
    name: str


PUBLIC = {"api-schema", "api-docs"}
TOKEN = {"token": "7c2a6d0e-3f57-4a0b-9a36-6d1d7d2f6f5e"}
VALUES = {"slug": "buyers", "customer_id": "c1", "anonymous_id": "a1"} | TOKEN
OTHERS = {"slug": "nothing", "customer_id": "nobody", "anonymous_id": "nobody"} | TOKEN


def doors(values: dict[str, str]) -> list[Door]:
    """Return every protected URL below /api/, found in the URL patterns."""
    found = []
    for name, route, view in _patterns(get_resolver().url_patterns):
        if route.startswith("api/") and name not in PUBLIC and issubclass(view, APIView):
            converted = {one: values.get(one, "1") for one in _parameters(route)}
            address = route
            for parameter, value in converted.items():
                address = _filled(address, parameter, value)
            found += [Door(one, f"/{address}", name) for one in view.http_method_names if hasattr(view, one)]
    return found


def _patterns(patterns: Any, above: str = "") -> Iterator[tuple[str, str, type]]:
    for pattern in patterns:
        route = above + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield pattern.name or "", route, getattr(pattern.callback, "cls", object)


def _parameters(route: str) -> list[str]:
    return [part.split(">")[0].split(":")[-1] for part in route.split("<")[1:]]


def _filled(route: str, parameter: str, value: str) -> str:
    before, _, after = route.partition("<")
    within, _, behind = after.partition(">")
    assert within.split(":")[-1] == parameter
    return before + value + behind


@pytest.fixture
def records() -> None:
    shop.customers("c1,anna@example.org")
    shop.events("m1,,a1,Seen,2026-03-01")
    shop.segment("buyers", {"known": {"is": True}})


def call(client: Client, door: Door, headers: dict[str, str]) -> Any:
    body = {"data": "{}", "content_type": "application/json"} if door.method not in ("get", "head") else {}
    return getattr(client, door.method)(door.address, headers=headers, **body)


def test_all_endpoints_are_found() -> None:
    found = {(door.method, door.address) for door in doors(VALUES)}

    assert {("get", SEGMENTS), ("post", f"{API}orders/"), ("delete", f"{API}customers/c1/")} <= found
    assert ("get", f"{API}visitors/a1/segments/") in found
    assert len({door.name for door in doors(VALUES)}) >= 9


def test_no_endpoint_accepts_an_expired_or_revoked_key(records: None, client: Client) -> None:
    revoked, revoked_secret = keys.create_key("bot", EVERYTHING)
    keys.revoke_key(revoked)
    _, elsewhere = keys.create_key("bot", EVERYTHING, networks=["192.0.2.0/24"])
    _, expired = keys.create_key("bot", EVERYTHING, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
    _, public = keys.create_key("page", [keys.VISITORS_SCOPE], networks=["192.0.2.0/24"])

    with time_machine.travel(datetime(2100, 1, 1, tzinfo=UTC), tick=False):
        for door in doors(VALUES):
            told = {
                call(client, door, {"Authorization": f"Bearer {secret}"}).content
                for secret in ("seg_wrong", revoked_secret, elsewhere, expired, public)
            }
            # In the same words: nobody learns which of these a key is.
            assert len(told) == 1, door
            answer = call(client, door, {"Authorization": f"Bearer {expired}"})
            if door.method != "head":
                problem(answer, 401)
            assert answer.status_code == 401, door
            assert answer["WWW-Authenticate"].startswith("Bearer")
            assert call(client, door, {}).status_code == 401, door

    assert lookup.find_customer("c1") is not None
    assert not ApiKey.objects.exclude(last_used_at=None).exists()


def test_no_endpoint_reveals_anything_without_its_scope(records: None, client: Client) -> None:
    page, back_office = bearer(keys.VISITORS_SCOPE), bearer(*EVERYTHING)
    visitor = Client()
    visitor.force_login(User.objects.create_user("carl"))

    for door, other in zip(doors(VALUES), doors(OTHERS), strict=True):
        is_of_pages = "/visitors/" in door.address
        for someone, headers in ((client, back_office if is_of_pages else page), (visitor, {})):
            answer, for_nobody = call(someone, door, headers), call(someone, other, headers)
            # What visitors close, no session closes: it is as if nobody asked.
            takes_no_session = door.name == "api-visitor-message-dismiss" and someone is visitor
            assert answer.status_code == (401 if takes_no_session else 403), door
            assert (for_nobody.status_code, for_nobody.content) == (answer.status_code, answer.content), door

    assert lookup.find_customer("c1") is not None


@pytest.mark.parametrize("scope", EVERYTHING)
def test_a_scope_gives_access_only_to_its_endpoints(scope: str, records: None, client: Client) -> None:
    """Only callers who may see or erase customers can find out which customers exist."""
    sees = scope in ("members:read", "privacy")
    key = bearer(scope)

    told = {
        address: {
            client.get(f"{API}customers/{who}/{address}", headers=key).status_code for who in ("c1", "nobody")
        }
        for address in ("", "export/", "segments/")
    }

    assert any(len(of_both) > 1 for of_both in told.values()) == sees
    assert (client.delete(f"{API}customers/nobody/", headers=key).status_code == 404) == (scope == "privacy")
