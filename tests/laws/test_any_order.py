"""The same messages and records end in the same customers, orders and events, in whatever order they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.models import IdentityLink, RefusedMessage
from customers.tracking import inbox
from segments.models import Change, Membership
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import post, send, signed, source

pytestmark = pytest.mark.django_db

CUSTOMERS, BROWSERS = ("c1", "c2", "c3"), ("a1", "a2", "a3", "a4")
EMAILS, PHONES = ("x@example.org", "y@example.org"), ("+493012345678", "+493012345679")

moments = st.integers(0, 40).map(lambda n: f"2026-03-01T{n // 4:02}:{n % 4 * 15:02}:00Z")


def one_or_both(draw: st.DrawFn) -> dict[str, str | None]:
    user, browser = draw(st.sampled_from((None, *CUSTOMERS))), draw(st.sampled_from((None, *BROWSERS)))
    return {"userId": user, "anonymousId": browser if browser or user else BROWSERS[0]}


@st.composite
def traits(draw: st.DrawFn) -> dict[str, Any]:
    given = st.fixed_dictionaries(
        {},
        optional={
            "email": st.sampled_from(EMAILS),
            "phone": st.sampled_from(PHONES),
            "firstName": st.sampled_from(("Ada", "Bo")),
            "address": st.fixed_dictionaries({"city": st.sampled_from(("Rome", "Oslo"))}),
            "newsletter": st.booleans(),
            "createdAt": st.sampled_from(("2025-01-01", "2026-03-01T05:00:00Z")),
            "plan": st.sampled_from(("gold", 7, True)),
        },
    )
    return {"type": "identify", "traits": draw(given), **one_or_both(draw)}


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(("View", "Product Added", "Product Removed", "Product Viewed")))
    campaign = draw(
        st.sampled_from(({}, {}, {"campaign": {"source": "ads"}}, {"campaign": {"source": "mail"}}))
    )
    properties = {"price": draw(st.sampled_from((5, 7.25))), "product_id": "p1"}
    return {
        "type": "track",
        "event": name,
        "properties": properties,
        "context": campaign,
        **one_or_both(draw),
    }


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(
        st.sampled_from(
            ("Order Completed", "Order Updated", "Order Refunded", "Order Refunded", "Order Cancelled")
        )
    )
    properties = draw(
        st.fixed_dictionaries(
            {"order_id": st.sampled_from(("o1", "o2"))},
            optional={
                "total": st.sampled_from((30, 100)),
                "products": st.lists(
                    st.sampled_from(({"sku": "s1", "price": 10}, {"sku": "s2", "price": 20, "quantity": 2})),
                    max_size=3,
                ),
                "coupon": st.sampled_from(("A", "B")),
                "status": st.sampled_from(("paid", "fulfilled", "dancing")),
            },
        )
    )
    return {"type": "track", "event": name, "properties": properties, **one_or_both(draw)}


@st.composite
def aliases(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "type": "alias",
        "previousId": draw(st.sampled_from(BROWSERS)),
        "userId": draw(st.sampled_from(CUSTOMERS)),
    }


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Draw messages in the order of their times, and again in another order and portions, some of them twice."""
    drawn = draw(st.lists(st.one_of(traits(), calls(), orders(), aliases()), min_size=2, max_size=14))
    messages = [one | {"messageId": f"m{n}", "timestamp": draw(moments)} for n, one in enumerate(drawn)]
    again = draw(st.lists(st.sampled_from(messages), max_size=3))
    mixed = draw(st.permutations([*messages, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(mixed)), max_size=4)))
    portions = [mixed[start:end] for start, end in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    return sorted(messages, key=lambda one: one["timestamp"]), [one for one in portions if one]


def state_after(key: str, portions: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    shop.delete_everything()
    for portion in portions:
        assert post(key, "batch", {"batch": portion}).status_code == 200
        inbox.drain()
    shop.assert_facts_are_those_of_the_records()
    assert not RefusedMessage.objects.exclude(reason__contains="'dancing'").exists()
    conflicts = IdentityLink.objects.filter(is_conflict=True).values_list("one__value", "other__value")
    return {**shop.comparable_records(), "conflicts": sorted(sorted(pair) for pair in conflicts)}


def check(delivery: tuple[list[dict[str, Any]], list[list[dict[str, Any]]]], key: str) -> None:
    in_order, mixed = delivery
    found, right = state_after(key, mixed), state_after(key, [in_order])
    assert found == right, [
        (table, row, "is", "lacking" if row in right[table] else "found")
        for table in right
        for row in [*found[table], *right[table]]
        if (row in found[table]) != (row in right[table])
    ]


@pytest.fixture
def key() -> str:
    return source()[1]


# -- Orders of which strangers, the shop's server and its files tell


@st.composite
def words_on_orders(draw: st.DrawFn) -> tuple[list[tuple[str, Any]], list[list[tuple[str, Any]]]]:
    """Draw statements about orders, all at once, and again in another order and portions, some of them twice.

    Of the order ``filed`` a file tells, and no server but what became of it.
    """
    told: list[tuple[str, Any]] = (
        [("file", "filed,c3,2026-03-01T05:00:00Z,70")] if draw(st.booleans()) else []
    )
    for n in range(draw(st.integers(2, 10))):
        who = draw(st.sampled_from(("server", "browser", "browser")))
        said = draw(orders())
        if draw(st.booleans()):
            is_sale = said["event"] in ("Order Completed", "Order Updated")
            said["properties"]["order_id"] = "o1" if who == "server" and is_sale else "filed"
        if who == "browser":
            said |= {"userId": None, "anonymousId": draw(st.sampled_from(BROWSERS))}
        # A stranger knows the ids of messages that a server is to send.
        told.append((who, said | {"messageId": f"m{n // 2}-{said['event']}", "timestamp": draw(moments)}))
    told = [
        *{
            (who, str(said["messageId"] if who != "file" else said)): (who, said) for who, said in told
        }.values()
    ]
    mixed = draw(st.permutations([*told, *draw(st.lists(st.sampled_from(told), max_size=3))]))
    cuts = sorted(draw(st.sets(st.integers(1, len(mixed)), max_size=4)))
    portions = [mixed[start:end] for start, end in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    return told, [one for one in portions if one]


def orders_after(keys: dict[str, str], portions: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, Any]:
    shop.delete_everything()
    for portion in portions:
        for who, said in portion:
            if who == "file":
                assert not shop.orders(said).refused
            else:
                assert post(keys[who], "batch", {"batch": [said]}).status_code == 200
        inbox.drain()
    shop.assert_facts_are_those_of_the_records()
    assert not RefusedMessage.objects.exclude(reason__contains="'dancing'").exists()
    return shop.comparable_records()


def check_orders(told: Any, keys: dict[str, str]) -> None:
    at_once, portions = told
    found, right = orders_after(keys, portions), orders_after(keys, [at_once])
    assert found == right


@pytest.fixture
def keys(key: str) -> dict[str, str]:
    return {"server": key, "browser": source("browser")[1]}


BESIDE_THE_LAW = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


@settings(max_examples=12, deadline=None, suppress_health_check=BESIDE_THE_LAW)
@given(deliveries())
def test_messages_end_in_the_same_state_in_any_order(key: str, delivery: Any) -> None:
    check(delivery, key)


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=BESIDE_THE_LAW)
@given(deliveries())
def test_many_messages_end_in_the_same_state_in_any_order(key: str, delivery: Any) -> None:
    check(delivery, key)


@settings(max_examples=8, deadline=None, suppress_health_check=BESIDE_THE_LAW)
@given(words_on_orders())
def test_orders_from_browsers_and_from_the_shop_end_in_the_same_state_in_any_order(
    keys: dict[str, str], told: Any
) -> None:
    check_orders(told, keys)


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=BESIDE_THE_LAW)
@given(words_on_orders())
def test_many_orders_from_browsers_and_from_the_shop_end_in_the_same_state(
    keys: dict[str, str], told: Any
) -> None:
    check_orders(told, keys)


# -- Whoever says it: servers, browsers with a signature and without, files and the API


@st.composite
def of_browsers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a message of a browser, which may have a signature for the id that it names."""
    kind = draw(st.sampled_from(("identify", "track", "order", "alias")))
    browser, user = draw(st.sampled_from(BROWSERS)), draw(st.sampled_from((None, *CUSTOMERS, *CUSTOMERS)))
    message: dict[str, Any] = {
        "userId": user,
        "anonymousId": browser,
        "signed": draw(st.booleans()) and bool(user),
    }
    match kind:
        case "identify":
            told = {
                "email": EMAILS,
                "firstName": ("Ada", "Bo"),
                "plan": ("gold", 7, True),
                "city": ("Rome", "Oslo"),
                "newsletter": (True, False),
            }
            each = {name: st.sampled_from(values) for name, values in told.items()}
            return message | {"type": "identify", "traits": draw(st.fixed_dictionaries({}, optional=each))}
        case "track":
            return message | {"type": "track", "event": "View", "properties": {}}
        case "order":
            properties = {"order_id": "", "total": draw(st.sampled_from((30, 100)))}
            return message | {"type": "track", "event": "Order Completed", "properties": properties}
    user = user or CUSTOMERS[0]
    return message | {"type": "alias", "previousId": browser, "userId": user, "signed": draw(st.booleans())}


@st.composite
def of_records(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    """Draw a record of a file or the API. All records of one customer agree."""
    user = draw(st.sampled_from(CUSTOMERS))
    kind = draw(st.sampled_from(("customers", "orders", "events", "events")))
    record = {"customer_id": user}
    match kind:
        case "customers":
            record |= {"country": f"country of {user}", "first_seen": "2026-01-01"}
        case "orders":
            record |= {"order_id": f"of {user}", "placed_at": "2026-02-01", "total": "7"}
        case "events":
            both = {"customer_id": user, "anonymous_id": draw(st.sampled_from(BROWSERS))}
            record = draw(
                st.sampled_from((both, {"customer_id": user}, {"anonymous_id": both["anonymous_id"]}))
            )
            record |= {"event": "Import"}
    return draw(st.sampled_from(("file", "api"))), kind, record


@st.composite
def statements(draw: st.DrawFn) -> tuple[list[Any], list[list[Any]]]:
    """Draw statements, and the order and portions in which they arrive."""
    servers = st.one_of(traits(), calls(), aliases())
    drawn = draw(
        st.lists(st.one_of(of_browsers(), of_browsers(), servers, of_records()), min_size=2, max_size=12)
    )
    said: list[Any] = []
    for n, one in enumerate(drawn):
        at = draw(moments)
        if isinstance(one, tuple):
            way, kind, record = one
            own = (
                {"message_id": f"e{n}", "occurred_at": at.replace(":00Z", f":{n:02}Z")}
                if kind == "events"
                else {}
            )
            said.append((way, kind, record | own))
        else:
            if "order_id" in one.get("properties", {}):
                one = one | {"properties": one["properties"] | {"order_id": f"o{n}"}}
            said.append(one | {"messageId": f"m{n}", "timestamp": at})
    mixed = draw(st.permutations(said))
    cuts = sorted(draw(st.sets(st.integers(1, len(mixed)), max_size=4)))
    portions = [mixed[start:end] for start, end in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    return said, [one for one in portions if one]


class Doors:
    """The interfaces through which statements arrive."""

    def __init__(self) -> None:
        self.server, (self.web, self.browser) = source()[1], source("browser")
        self.api = ApiClient("ingest")

    def bring(self, portion: Sequence[Any]) -> None:
        """Send a portion. Consecutive statements of the same interface go into one request or file."""
        for (door, kind), run in groupby(portion, self._door):
            given = list(run)
            match door:
                case "file":
                    names = list(dict.fromkeys(name for _, _, record in given for name in record))
                    rows = [[record.get(name, "") for name in names] for _, _, record in given]
                    assert not shop.import_rows(kind, *rows, header=",".join(names)).refused
                case "api":
                    self.api.post(f"{kind}/", [record for _, _, record in given])
                case _:
                    send(self.server if door == "server" else self.browser, *map(self._sent, given))

    def _door(self, one: Any) -> tuple[str, str]:
        if isinstance(one, tuple):
            return one[0], one[1]
        return ("browser" if "signed" in one else "server"), ""

    def _sent(self, message: dict[str, Any]) -> dict[str, Any]:
        if not message.get("signed"):
            return {name: value for name, value in message.items() if name != "signed"}
        return message | {"context": signed(self.web, message["userId"])}


def forget_members() -> None:
    for table in (Membership, Change):
        table.objects.all().delete()
    shop.delete_everything()


def members_after(doors: Doors, portions: Sequence[Sequence[Any]]) -> dict[str, Any]:
    forget_members()
    for portion in portions:
        doors.bring(portion)
        refresh_all()
    shop.assert_facts_are_those_of_the_records()
    assert not RefusedMessage.objects.exclude(reason__contains="'dancing'").exists()
    return {
        **shop.comparable_records(),
        "conflicts": sorted(
            sorted(pair)
            for pair in IdentityLink.objects.filter(is_conflict=True).values_list(
                "one__value", "other__value"
            )
        ),
        "members": [shop.members(slug) for slug in RULES],
    }


RULES: dict[str, dict[str, Any]] = {
    "viewers": {"event_count": {"at_least": 2}},
    "gold": {"attribute": {"name": "plan", "exists": True}},
    "known": {"known": {"is": True}},
}


def check_statements(delivery: tuple[list[Any], list[list[Any]]], doors: Doors) -> None:
    said, mixed = delivery
    found, right = members_after(doors, mixed), members_after(doors, [said])
    assert found == right


@pytest.fixture
def doors() -> Iterator[Doors]:
    for slug, rule in RULES.items():
        shop.segment(slug, rule)
    yield Doors()
    forget_members()


@settings(max_examples=8, deadline=None, suppress_health_check=BESIDE_THE_LAW)
@given(statements())
def test_trust_depends_on_the_statements_and_not_on_their_order(doors: Doors, delivery: Any) -> None:
    check_statements(delivery, doors)


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=BESIDE_THE_LAW)
@given(statements())
def test_trust_depends_on_many_statements_and_not_on_their_order(doors: Doors, delivery: Any) -> None:
    check_statements(delivery, doors)
