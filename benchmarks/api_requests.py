"""What the benchmarks of the API ask: endless requests of each kind, each about another customer."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import harness  # sets up Django # noqa: F401

from core.api import keys
from customers.models import Customer, Identity
from segments.models import Segment
from segments.refresh.engine import refresh_all

CUSTOMERS_A_LOOKUP, SEGMENTS_A_LOOKUP, MEMBERS_A_PAGE = 100, 16, 100


@dataclass(frozen=True)
class ApiRequest:
    """A request with a key of the API."""

    key: str
    method: str
    address: str
    body: bytes = b""


def prepare() -> dict[str, Any]:
    """Refresh the segments and make them public. Return what the clients need to know."""
    refresh_all()
    Segment.objects.update(is_public=True)
    _, reader = keys.create_key("benchmark", ["segments:read", "members:read"])
    _, public = keys.create_key("shop's pages", ["visitors:read"])
    chance = random.Random(1)
    newest = Customer.objects.order_by("-pk").values_list("pk", flat=True)[0]
    drawn = sorted({chance.randrange(1, newest + 1) for _ in range(20_000)})
    there = Customer.objects.existing().filter(pk__in=drawn[:5_000])
    browsers = Identity.objects.filter(kind=Identity.Kind.ANONYMOUS_ID, customer__in=drawn)
    segments = Segment.objects.order_by("-size")
    return {
        "reader": reader,
        "public": public,
        "keys": list(there.values_list("pk", flat=True)),
        "ids": list(there.values_list("customer_id", flat=True)),
        "browsers": list(browsers.values_list("value", flat=True)[:2_000]),
        "segments": list(Segment.objects.values_list("slug", flat=True)),
        "with_full_pages": [one.slug for one in segments if one.size >= MEMBERS_A_PAGE],
        "largest": segments[0].slug,
        "size": segments[0].size,
    }


def endless_requests(shop: dict[str, Any], chance: random.Random) -> dict[str, Iterator[ApiRequest]]:
    """Return an endless iterator of requests for each name."""

    def bare() -> ApiRequest:
        return ApiRequest(shop["reader"], "GET", f"/bare/{chance.choice(shop['keys'])}/")

    def plain() -> ApiRequest:
        return ApiRequest(shop["reader"], "GET", f"/plain/{chance.choice(shop['keys'])}/")

    def live() -> ApiRequest:
        address = f"/api/v1/visitors/{chance.choice(shop['browsers'])}/segments/"
        return ApiRequest(shop["public"], "GET", address)

    def page() -> ApiRequest:
        segment = chance.choice(shop["with_full_pages"])
        address = f"/api/v1/segments/{segment}/members/?page_size={MEMBERS_A_PAGE}"
        return ApiRequest(shop["reader"], "GET", address)

    def membership() -> ApiRequest:
        asked = {
            "customers": chance.sample(shop["ids"], CUSTOMERS_A_LOOKUP),
            "segments": shop["segments"][:SEGMENTS_A_LOOKUP],
        }
        body = json.dumps(asked).encode()
        return ApiRequest(shop["reader"], "POST", "/api/v1/segments/membership/", body)

    kinds: tuple[Callable[[], ApiRequest], ...] = (plain, bare, live, page, membership)
    # The sentinel never comes, so that each iterator is endless.
    return {kind.__name__: iter(kind, None) for kind in kinds}
