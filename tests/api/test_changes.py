"""The change log over HTTP: readers end with exactly the members, and are told when changes were deleted."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from customers.identity import lookup
from customers.privacy import personal_data
from segments.changes import retention
from segments.models import Change, Segment
from segments.refresh.deletion import delete_oldest_changes
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient, error_paths, names, ndjson_objects, streamed_text
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

LOG = "segments/known/changes/"
HEADER = "customer_id,email,newsletter"


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient("members:read", "segments:read")


def subscribe(*customers: str, state: str = "subscribed") -> None:
    shop.customers(*(f"{one},{one}@example.org,{state}" for one in customers), header=HEADER)


def refresh() -> None:
    refresh_all()


@pytest.fixture
def known() -> Segment:
    """A segment that three customers entered, one of whom left again."""
    subscribe("c1", "c2", "c3")
    segment = shop.segment("known", {"newsletter": {"is": "subscribed"}})
    refresh()
    subscribe("c2", state="unsubscribed")
    refresh()
    return segment


def test_changes_come_in_order_page_by_page(caller, known) -> None:
    first = caller.get(f"{LOG}?page_size=3")

    assert [(one["customer_id"], one["change"], one["cause"]) for one in first["results"]] == [
        ("c1", "entered", "initial"), ("c2", "entered", "initial"), ("c3", "entered", "initial"),
    ]  # fmt: skip
    assert list(first) == ["next", "previous", "position", "results"]
    assert first["position"] == first["results"][-1]["id"]
    second = caller.get(first["next"])
    [left] = second["results"]
    assert list(left) == ["id", "customer_id", "change", "at", "cause", "changes_at"]
    assert (left["customer_id"], left["change"], left["cause"]) == ("c2", "left", "activity")
    assert (second["next"], second["position"]) == (None, left["id"])
    assert left["at"] == caller.get("segments/known/")["refreshed_at"]

    at_the_end = caller.get(f"{LOG}?after={left['id']}")
    assert (at_the_end["results"], at_the_end["position"]) == ([], left["id"])
    assert caller.get(f"{LOG}?after=latest") == at_the_end


def test_streams_contain_the_same_changes_and_continue_after_an_id(caller, known) -> None:
    page = caller.get(LOG)["results"]
    assert {one.pop("changes_at") for one in page} == {None}  # only pages tell when a customer leaves

    response = caller.call("get", f"{LOG}?format=ndjson")
    assert response["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert ndjson_objects(response) == page
    assert ndjson_objects(caller.call("get", f"{LOG}?format=ndjson&after={page[1]['id']}")) == page[2:]
    sheet = streamed_text(caller.call("get", LOG, Accept="text/csv")).splitlines()
    assert sheet == [",".join(page[0]), *(",".join(map(str, row.values())) for row in page)]


def test_a_log_without_changes_can_be_followed_from_the_start(caller) -> None:
    shop.segment("known", {"newsletter": {"is": "subscribed"}})
    begin = caller.get(LOG)
    assert begin == {"next": None, "previous": None, "position": 0, "results": []}
    assert caller.get(f"{LOG}?after=latest") == begin
    assert streamed_text(caller.call("get", f"{LOG}?format=ndjson")) == ""

    subscribe("c1")
    refresh()

    assert names(caller.get(f"{LOG}?after={begin['position']}")["results"]) == ["c1"]


@pytest.mark.parametrize("after", ["-1", "x", "", "1.5", "٣", "9" * 30, str(2**63), "%00", "LATEST"])
def test_an_invalid_cursor_is_refused(caller, known, after) -> None:
    for query in (f"after={after}", f"after={after}&format=csv"):
        response = caller.call("get", f"{LOG}?{query}")
        assert (response.status_code, response["Content-Type"]) == (400, "application/json")
        assert error_paths(response.json()) == ["after"]
    assert caller.get("segments/nothing/changes/", 404)["code"] == "not_found"
    assert (
        caller.get(f"{LOG}?page_size=0", 400)["errors"][0]["message"] == "Send a whole number from 1 to 1000."
    )


def test_a_reader_whose_cursor_is_too_old_gets_an_error(caller, known) -> None:
    other = shop.segment("other", {"known": {"is": True}})
    refresh()
    ids = [one["id"] for one in caller.get(LOG)["results"]]
    at = Change.objects.get(pk=ids[-1]).at
    Change.objects.filter(pk__lt=ids[-1]).update(at=at - days(500))
    Change.objects.filter(segment=other).update(at=at - days(399))
    before = caller.get("segments/known/history/")

    assert retention.delete_old_changes(datetime.now(UTC)) == 3
    assert retention.delete_old_changes(datetime.now(UTC)) == 0

    for query in ("after=0", f"after={ids[0]}", f"after={ids[1]}", f"after={ids[1]}&format=ndjson"):
        response = caller.call("get", f"{LOG}?{query}")
        assert (response.status_code, response.json()["code"]) == (410, "gone")
        assert "latest" in response.json()["message"]
    # Who has read the last one that is gone has missed nothing; nor has who never asked for more than there is.
    for query in (f"after={ids[2]}", ""):
        assert [one["id"] for one in caller.get(f"{LOG}?{query}")["results"]] == ids[3:]
    assert len(caller.get("segments/other/changes/?after=0")["results"]) == 3
    assert caller.get("segments/known/history/") == before

    assert delete_oldest_changes(known.pk, datetime.now(UTC) + days(1), 10) == 1
    begin = caller.get(LOG)
    assert (begin["results"], begin["position"]) == ([], ids[-1])
    assert caller.get(f"{LOG}?after={ids[-1]}") == caller.get(f"{LOG}?after=latest") == begin


def test_old_changes_are_deleted_in_batches_in_the_order_of_the_log(known) -> None:
    ids = list(Change.objects.order_by("pk").values_list("pk", flat=True))
    old = NOON - days(500)
    Change.objects.exclude(pk=ids[1]).update(at=old)

    gone = [delete_oldest_changes(known.pk, NOON, 1) for _ in range(3)]

    # The second is younger: what comes behind it stays, so that the log has no holes.
    assert gone == [1, 0, 0]
    assert list(Change.objects.order_by("pk").values_list("pk", flat=True)) == ids[1:]
    known.refresh_from_db()
    assert known.log_starts_at == ids[0]


def test_erased_customers_leave_with_their_id_for_a_month(caller, known) -> None:
    position = caller.get(LOG)["position"]
    erased = lookup.find_customer("c3")
    assert erased
    personal_data.erase_customer(erased, datetime.now(UTC))

    [left] = caller.get(f"{LOG}?after={position}")["results"]
    assert (left["customer_id"], left["change"], left["cause"]) == ("c3", "left", "erasure")
    assert names(caller.get(LOG)["results"]) == ["c1", "c2", None, "c2", "c3"]

    retention.delete_erased_ids(datetime.now(UTC) + retention.ERASED_ID_RETENTION)

    # Who has not read it by then could not let go of them.
    assert caller.get(f"{LOG}?after={position}", 410)["code"] == "gone"
    assert caller.get(f"{LOG}?after={left['id']}")["results"] == []
    assert names(caller.get(LOG)["results"])[-1] is None


def test_readers_learn_of_erased_customers_who_had_left_before(caller, known) -> None:
    position = caller.get(f"{LOG}?after=latest")["position"]
    subscribe("c3", state="unsubscribed")
    refresh()
    subscribe("c3")
    refresh()
    subscribe("c3", state="unsubscribed")
    refresh()
    erased = lookup.find_customer("c3")
    assert erased
    personal_data.erase_customer(erased, datetime.now(UTC))

    unread = caller.get(f"{LOG}?after={position}")["results"]

    assert [(one["customer_id"], one["change"]) for one in unread] == [
        (None, "left"), (None, "entered"), ("c3", "left"),
    ]  # fmt: skip
    retention.delete_erased_ids(datetime.now(UTC) + retention.ERASED_ID_RETENTION)
    assert caller.get(f"{LOG}?after={position}", 410)["code"] == "gone"
    assert "c3" not in names(caller.get(LOG)["results"])


class Follower:
    """A client that reads the members of a segment once and then only the changes."""

    def __init__(self, caller: ApiClient) -> None:
        self.caller = caller
        self.position: int = caller.get(f"{LOG}?after=latest")["position"]
        response = caller.call("get", "segments/known/members/?format=ndjson")
        self.members = set(names(ndjson_objects(response)))

    def follow(self, chance: random.Random) -> None:
        """Continue from the stored cursor. A page may be read and lost, as when a client crashes."""
        is_more = True
        while is_more:
            if chance.random() < 0.5:
                page: dict[str, Any] = self.caller.get(
                    f"{LOG}?after={self.position}&page_size={chance.randint(1, 9)}"
                )
                found, is_more = page["results"], bool(page["next"])
            else:
                found = ndjson_objects(self.caller.call("get", f"{LOG}?format=ndjson&after={self.position}"))
                is_more = False
            for one in found[: chance.randint(0, len(found))] if chance.random() < 0.3 else found:
                (self.members.add if one["change"] == "entered" else self.members.discard)(one["customer_id"])
                self.position = one["id"]


def test_a_reader_of_the_log_has_exactly_the_members(caller, known) -> None:
    chance = random.Random(6)
    followers = []
    for turn in range(8):
        at_once = [f"c{number}" for number in chance.sample(range(40), 12)]
        subscribe(*at_once[:8])
        subscribe(*at_once[8:], state="unsubscribed")
        if turn % 4 == 1:
            shop.events(f"m{turn},c{turn},v{turn - 1},View,2026-03-01")
        if turn % 4 == 3 and (somebody := lookup.find_customer(at_once[0])):
            personal_data.erase_customer(somebody, datetime.now(UTC) - timedelta(hours=1))
        if turn % 3 == 0:
            followers.append(Follower(caller))
        refresh()
        for follower in followers:
            follower.follow(chance)

    sure = random.Random()
    for follower in followers:
        sure.random = lambda: 0.9  # type: ignore[method-assign]
        follower.follow(sure)
        assert sorted(follower.members) == shop.members("known")


def test_a_page_costs_few_queries(caller, known, django_assert_max_num_queries) -> None:
    caller.get(LOG)  # the use of the key is noted now
    with django_assert_max_num_queries(4):
        caller.get(f"{LOG}?after=0")
    with django_assert_max_num_queries(4):
        streamed_text(caller.call("get", f"{LOG}?after=0&format=csv"))
