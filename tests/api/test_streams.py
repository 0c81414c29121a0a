"""All members over HTTP as CSV and NDJSON: safe for spreadsheets, compressed, and resumable."""

import csv
import gzip
import io
import tracemalloc

import pytest

from segments.changes import member_stream
from segments.models import Membership, Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient, error_paths, names, ndjson_objects, streamed_text

pytestmark = pytest.mark.django_db

MEMBERS = "segments/known/members/"
HEADER = "customer_id,email,phone,first_name,last_name"


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient("members:read")


@pytest.fixture
def known() -> Segment:
    shop.customers(
        "c1,zoë@example.org,+49 30 1234567,Zoë,=cmd|' /C calc'!A0",
        'c2,b@example.org,,"Line\nbreak","Quote "", comma"',
        "c3,c@example.org,,@SUM(A1),-1",
        header=HEADER,
    )
    segment = shop.segment("known", {"known": {"is": True}})
    refresh_all()
    return segment


def test_a_stream_contains_what_the_pages_contain(caller, known) -> None:
    pages = caller.get(MEMBERS)["results"]

    response = caller.call("get", f"{MEMBERS}?format=ndjson")
    streamed = ndjson_objects(response)

    assert response["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="known-members.ndjson"'
    # Only pages tell when a member leaves: a stream would compute it for everybody.
    told = [{name: value for name, value in one.items() if name != "changes_at"} for one in pages]
    assert [{name: row[name] for name in told[0]} for row in streamed] == told
    assert streamed == ndjson_objects(caller.call("get", MEMBERS, Accept="application/x-ndjson"))


def test_no_cell_is_a_formula(caller, known) -> None:
    response = caller.call("get", f"{MEMBERS}?format=csv")
    rows = list(csv.DictReader(io.StringIO(streamed_text(response), newline="")))

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert list(rows[0]) == [
        "customer_id",
        "entered_at",
        "email",
        "phone",
        "first_name",
        "last_name",
        "cursor",
    ]
    assert [row["customer_id"] for row in rows] == ["c1", "c2", "c3"]
    assert (rows[0]["phone"][:3], rows[0]["last_name"]) == ("+49", "'=cmd|' /C calc'!A0")
    assert (rows[1]["first_name"], rows[1]["last_name"]) == ("Line\nbreak", 'Quote ", comma')
    assert (rows[2]["first_name"], rows[2]["last_name"]) == ("'@SUM(A1)", "-1")


def test_a_stream_is_compressed_on_request(caller, known) -> None:
    plain = streamed_text(caller.call("get", f"{MEMBERS}?format=csv"))

    response = caller.call("get", f"{MEMBERS}?format=csv", Accept_Encoding="gzip, deflate")

    assert response["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in response["Vary"]
    assert gzip.decompress(b"".join(response.streaming_content)).decode() == plain


def test_a_stream_continues_where_it_broke_off(caller, known, monkeypatch, django_assert_num_queries) -> None:
    monkeypatch.setattr(member_stream, "MEMBERS_BATCH_SIZE", 2)
    everybody = ndjson_objects(caller.call("get", f"{MEMBERS}?format=ndjson"))

    for place, row in enumerate(everybody):
        rest = caller.call("get", f"{MEMBERS}?format=ndjson&cursor={row['cursor']}")
        assert ndjson_objects(rest) == everybody[place + 1 :]
    # The page behind a row begins where the stream would.
    assert names(caller.get(f"{MEMBERS}?cursor={everybody[0]['cursor']}")["results"]) == ["c2", "c3"]
    with django_assert_num_queries(4):  # the key, the segment, and two shares
        assert streamed_text(caller.call("get", f"{MEMBERS}?format=csv")).count("\r\n") == 4


def test_a_member_who_leaves_during_a_stream_shifts_no_other(caller, known, monkeypatch) -> None:
    monkeypatch.setattr(member_stream, "MEMBERS_BATCH_SIZE", 1)
    response = caller.call("get", f"{MEMBERS}?format=ndjson")
    lines = iter(response.streaming_content)
    first = next(lines)

    Membership.objects.filter(customer__customer_id__in=["c1", "c2"]).delete()

    assert b'"c1"' in first
    [rest] = lines
    assert b'"c3"' in rest


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_errors_are_json_in_every_format(caller, known, form) -> None:
    page = caller.get(f"{MEMBERS}?page_size=1")
    back = caller.get(caller.get(page["next"])["next"])["previous"].partition("cursor=")[2].partition("&")[0]
    for address, status, code in (
        (f"segments/nothing/members/?format={form}", 404, "not_found"),
        (f"{MEMBERS}?format={form}&cursor=x", 400, "invalid"),
        (f"{MEMBERS}?format={form}&cursor={back}", 400, "invalid"),
    ):
        response = caller.call("get", address)
        assert (response.status_code, response["Content-Type"]) == (status, "application/json")
        assert response.json()["code"] == code
    refused = ApiClient("segments:read").call("get", f"{MEMBERS}?format={form}")
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert caller.client.get(f"/api/v1/{MEMBERS}?format={form}").json()["code"] == "not_authenticated"
    assert error_paths(caller.get(f"{MEMBERS}?page_size=0", 400)) == ["page_size"]


def test_a_long_stream_takes_constant_memory(caller, known, monkeypatch) -> None:
    monkeypatch.setattr(member_stream, "MEMBERS_BATCH_SIZE", 50)
    rows = (f"many{number},{number}@example.org,,{'x' * 250},{'y' * 250}" for number in range(1_500))
    shop.customers(*rows, header=HEADER)
    refresh_all()

    chunks = iter(caller.call("get", f"{MEMBERS}?format=csv").streaming_content)
    next(chunks)
    tracemalloc.start()
    try:
        length = sum(len(chunk) for chunk in chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert length > 800_000
    assert peak < length / 2
