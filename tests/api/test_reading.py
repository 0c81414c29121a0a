"""Reading segments and members over HTTP, with a key or a login, and the errors."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import path
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api import keys
from core.api.pagination import Cursor
from customers.models import Customer
from segments import segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_segments
from tests.support import shop

SEGMENTS = "/api/v1/segments/"
# Whoever is imported now has been seen by then.
AT = datetime(2100, 3, 15, 12, tzinfo=UTC)
READER = ("segments:read", "members:read")

pytestmark = pytest.mark.django_db

Get = Callable[..., Any]


@pytest.fixture
def get(client: Client) -> Get:
    """Send a request with a key that may read everything. Return the body of a 200."""
    _, secret = keys.create_key("reader", READER)

    def ask(address: str, **parameters: Any) -> Any:
        response = client.get(address, parameters or None, headers={"Authorization": f"Bearer {secret}"})
        assert response.status_code == 200, response.content
        return response.json()

    return ask


@pytest.fixture
def ask(client: Client) -> Callable[..., Any]:
    """Send a request with a key of these scopes. Return the response."""

    def with_scopes(address: str, *scopes: str, method: str = "get", **options: Any) -> Any:
        _, secret = keys.create_key("client", scopes or READER)
        return getattr(client, method)(address, headers={"Authorization": f"Bearer {secret}"}, **options)

    return with_scopes


def refreshed(slug: str, rule: dict[str, Any], hours: int = 0) -> Segment:
    """A segment with its members."""
    segment = shop.segment(slug, rule)
    refresh_segments([segment], AT + timedelta(hours=hours))
    segment.refresh_from_db()
    return segment


def members_of(slug: str) -> str:
    return f"{SEGMENTS}{slug}/members/"


def pages(get: Get, address: str, way: str = "next", **parameters: object) -> Iterator[list[dict[str, Any]]]:
    """Follow the links to the last page."""
    page = get(address, **parameters)
    yield page["results"]
    while page[way]:
        page = get(page[way])
        yield page["results"]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["customer_id"] for row in rows]


# -- Segments


def test_a_dynamic_segment_has_its_rule_sentence_and_sizes(get: Get) -> None:
    shop.customers("c1,zoë@example.com", "c2,")
    rule = {"any": [{"known": {"is": True}}, {"order_count": {"is": 0}}]}
    segment = segment_store.save_segment(
        Segment(slug="everybody", name="Alle Käuferinnen 🛍", description="Wer auch immer.", rule=rule)
    )
    refresh_segments([segment], AT)

    shown = get(f"{SEGMENTS}everybody/")

    assert shown == {
        "slug": "everybody",
        "name": "Alle Käuferinnen 🛍",
        "description": "Wer auch immer.",
        "rule": rule,
        "sentence": shown["sentence"],
        "status": "fresh",
        "is_public": False,
        "size": 2,
        "known_size": 1,
        "refreshed_at": "2100-03-15T12:00:00Z",
        "last_error": "",
        "version": 1,
    }
    assert shown["sentence"].startswith("Everyone who ")
    assert " or " in shown["sentence"]
    assert get(SEGMENTS)["results"] == [shown]


def test_a_fixed_list_has_no_rule(get: Get) -> None:
    shop.customers("c1,a@example.com")
    segment_store.create_fixed_list("chosen", "Chosen", Customer.objects.values_list("pk", flat=True), AT)

    shown = get(f"{SEGMENTS}chosen/")

    assert (shown["rule"], shown["sentence"]) == (None, "A fixed list of customers")
    assert (shown["status"], shown["size"], shown["known_size"]) == ("static", 1, 1)


def test_a_rule_that_is_no_longer_valid_has_no_sentence(get: Get) -> None:
    segment = shop.segment("old", {"known": {"is": True}})
    # As an update that drops a filter would leave it: no door lets such a rule in.
    Segment.objects.filter(pk=segment.pk).update(rule={"shoe_size": {"is": 42}})
    refresh_segments([segment], AT)

    shown = get(f"{SEGMENTS}old/")

    assert shown["rule"] == {"shoe_size": {"is": 42}}
    assert (shown["sentence"], shown["status"]) == ("", "failing")
    assert "shoe_size" in shown["last_error"]


def test_every_template_has_a_sentence(get: Get) -> None:
    segment_store.install_templates()

    shown = get(SEGMENTS)["results"]

    assert len(shown) == 16
    assert all(segment["sentence"].startswith("Everyone who ") for segment in shown)


def test_segments_are_paged_both_ways(get: Get) -> None:
    made = [shop.segment(f"s{number}", {"known": {"is": True}}).slug for number in range(7)]

    forward = list(pages(get, SEGMENTS, page_size=3))
    assert [[row["slug"] for row in page] for page in forward] == [made[:3], made[3:6], made[6:]]

    last = get(get(get(SEGMENTS, page_size=3)["next"])["next"])
    back = list(pages(get, last["previous"], "previous"))
    assert [[row["slug"] for row in page] for page in back] == [made[3:6], made[:3]]


# -- Members


def test_members_are_shown_with_contact_data(get: Get) -> None:
    shop.customers(
        "Käufer 7,zoë@example.com,+49 30 1234567,Zoë,Çelik-Müller",
        "顾客,,0201 555,,",
        header="customer_id,email,phone,first_name,last_name",
    )
    refreshed("known", {"known": {"is": True}}, hours=24)

    page = get(members_of("known"))

    assert (page["next"], page["previous"]) == (None, None)
    shown = {row["customer_id"]: row for row in page["results"]}
    phone = shown["Käufer 7"]["phone"]
    assert shown["Käufer 7"] == {
        "customer_id": "Käufer 7",
        "entered_at": "2100-03-16T12:00:00Z",
        "changes_at": None,
        "email": "zoë@example.com",
        "phone": phone,
        "first_name": "Zoë",
        "last_name": "Çelik-Müller",
    }
    assert phone.replace(" ", "") == "+49301234567"
    assert (shown["顾客"]["email"], shown["顾客"]["first_name"]) == ("", "")


def test_visitors_are_shown_by_their_public_ids(get: Get) -> None:
    odd = ["a/b?c=d&e", "100% 'ja'; --", 'quo"te', "héllo wörld ☕", "anonymous:twice", "<b>#"]
    rows = [[f"m{number}", "", visitor, "Seen", "2026-03-01T10:00Z"] for number, visitor in enumerate(odd)]
    shop.import_rows("events", *rows, header="message_id,customer_id,anonymous_id,event,occurred_at")
    refreshed("anonymous", {"known": {"is": False}})

    shown = [row for page in pages(get, members_of("anonymous"), page_size=2) for row in page]

    assert sorted(ids(shown)) == sorted(f"anonymous:{visitor}" for visitor in odd)
    assert {row["email"] for row in shown} == {""}


def test_an_empty_segment_is_one_empty_page(get: Get) -> None:
    refreshed("nobody", {"known": {"is": True}})

    assert get(members_of("nobody")) == {"next": None, "previous": None, "results": []}


def test_a_page_has_50_members_by_default_and_at_most_200(get: Get) -> None:
    shop.customers(*(f"c{number},c{number}@example.com" for number in range(201)))
    refreshed("known", {"known": {"is": True}})

    assert len(get(members_of("known"))["results"]) == 50
    assert len(get(members_of("known"), page_size=200)["results"]) == 200
    assert len(get(members_of("known"), page_size=201)["results"]) == 200
    assert len(get(members_of("known"), page_size="9" * 5000)["results"]) == 200
    assert len(get(members_of("known"), page_size=1)["results"]) == 1


def test_links_keep_the_page_size(get: Get) -> None:
    shop.customers(*(f"c{number},c{number}@example.com" for number in range(5)))
    refreshed("known", {"known": {"is": True}})

    link = get(members_of("known"), page_size=2)["next"]

    assert urlsplit(link).path == members_of("known")
    assert parse_qs(urlsplit(link).query)["page_size"] == ["2"]


# -- Members that enter and leave between two pages

HEADER = "customer_id,newsletter"
EVERYBODY = range(3000)
MOVING = [number for number in EVERYBODY if number % 6 in (0, 1)]
STAYING = [f"c{number}" for number in EVERYBODY if number not in set(MOVING)]


@pytest.fixture
def subscribers() -> Segment:
    """2,500 members: 2,000 who stay and 500 who may leave. 500 other customers may enter."""
    state = {0: "unsubscribed"}
    rows = [f"c{number},{state.get(number % 6, 'subscribed')}" for number in EVERYBODY]
    shop.customers(*rows, header=HEADER)
    segment = refreshed("subscribers", {"newsletter": {"is": "subscribed"}})
    assert segment.size == 2500
    return segment


def move(segment: Segment, turn: int, also_leaving: str) -> None:
    """Let some customers enter and others leave, all over the list, and one more leave."""
    rows = [f"c{number},subscribed" for number in MOVING[2 * turn :: 10]]
    rows += [f"c{number},unsubscribed" for number in MOVING[2 * turn + 1 :: 10]]
    shop.customers(*rows, f"{also_leaving},unsubscribed", header=HEADER)
    refresh_segments([segment], AT + timedelta(hours=1 + turn))


@pytest.mark.parametrize("way", ["next", "previous"])
def test_members_who_stay_are_listed_exactly_once(get: Get, subscribers: Segment, way: str) -> None:
    page = get(members_of("subscribers"), page_size=200)
    while way == "previous" and page["next"]:
        page = get(page["next"])

    listed, left = [page], set()
    while page[way]:
        if len(listed) % 3 == 1:
            # The very customer whom the cursor names leaves, too.
            edge = ids(page["results"])[-1 if way == "next" else 0]
            left.add(edge)
            move(subscribers, len(listed) // 3, also_leaving=edge)
        page = get(page[way])
        listed.append(page)

    shown = [one for page in listed[:: 1 if way == "next" else -1] for one in ids(page["results"])]
    staying = set(STAYING) - left
    order = Customer.objects.order_by("pk").values_list("customer_id", flat=True)
    assert len(left) >= 4
    assert len(shown) == len(set(shown))
    assert [one for one in order if one in set(shown)] == shown
    assert staying <= set(shown)


def test_paging_forward_and_back_returns_the_same_page(get: Get, subscribers: Segment) -> None:
    first = get(members_of("subscribers"), page_size=170)
    second = get(first["next"])
    third = get(second["next"])

    assert get(third["previous"]) == second
    assert get(second["previous"]) == first
    assert get(get(second["previous"])["next"]) == second
    assert sum(len(page) for page in pages(get, members_of("subscribers"), page_size=170)) == 2500


def test_links_work_after_all_members_on_one_side_have_left(get: Get) -> None:
    for number in range(6):  # one by one, so that their order is known
        shop.customers(f"c{number},subscribed", header=HEADER)
    segment = refreshed("subscribers", {"newsletter": {"is": "subscribed"}})
    first = get(members_of("subscribers"), page_size=3)
    second = get(first["next"])

    shop.customers(*(f"c{number},unsubscribed" for number in range(3)), header=HEADER)
    refresh_segments([segment], AT + timedelta(hours=1))
    before = get(second["previous"])

    assert (before["results"], before["previous"]) == ([], None)
    assert ids(get(before["next"])["results"]) == ["c3", "c4", "c5"]
    assert get(first["next"])["previous"] is None

    shop.customers("c0,subscribed", *(f"c{number},unsubscribed" for number in range(3, 6)), header=HEADER)
    refresh_segments([segment], AT + timedelta(hours=2))
    behind = get(first["next"])

    assert (behind["results"], behind["next"]) == ([], None)
    assert ids(get(behind["previous"])["results"]) == ["c0"]


# -- Cost


def test_the_last_page_needs_as_many_queries_as_the_first(
    get: Get, subscribers: Segment, django_assert_max_num_queries
) -> None:
    first = get(members_of("subscribers"), page_size=200)  # the use of the key is noted now
    with django_assert_max_num_queries(4) as first_page:
        get(members_of("subscribers"), page_size=1)
    with django_assert_max_num_queries(4) as later_page:
        get(first["next"])
    with django_assert_max_num_queries(4):
        get(members_of("subscribers"), page_size=200, cursor=str(Cursor(False, 10**17)))

    statements = [query["sql"].upper() for query in [*first_page, *later_page]]
    assert not any("COUNT(" in sql or " OFFSET " in sql or "ATTRIBUTES" in sql for sql in statements)


def test_the_list_of_segments_needs_a_constant_number_of_queries(
    get: Get, django_assert_max_num_queries
) -> None:
    segment_store.install_templates()
    get(SEGMENTS)

    with django_assert_max_num_queries(3):
        get(SEGMENTS)
    with django_assert_max_num_queries(2):
        get(f"{SEGMENTS}lead/")


# -- Who may ask


def problem(response: Any, status: int) -> dict[str, Any]:
    """Return the error of a response, after checking its format."""
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/json")
    told: dict[str, Any] = json.loads(response.content)
    assert list(told) == ["code", "message", "errors"]
    assert told["code"]
    assert told["message"]
    assert all(set(place) == {"path", "message"} for place in told["errors"])
    return told


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic c2VnXzEyMzo="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer seg_wrong"},
        {"Authorization": "Bearer two words"},
        {"Authorization": "Bearer schlüssel"},
    ],
    ids=["none", "empty", "another scheme", "no key", "wrong key", "two keys", "not ASCII"],
)
@pytest.mark.parametrize("address", [SEGMENTS, f"{SEGMENTS}lead/", members_of("lead")])
def test_without_a_key_nothing_is_shown(client: Client, address: str, header: dict[str, str]) -> None:
    response = client.get(address, headers=header)

    problem(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key_is_refused(client: Client) -> None:
    key, secret = keys.create_key("bot", READER)
    headers = {"Authorization": f"bearer {secret}"}
    assert client.get(SEGMENTS, headers=headers).status_code == 200

    keys.revoke_key(key)

    response = client.get(SEGMENTS, headers=headers)
    assert "revoked" in problem(response, 401)["message"]
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        (SEGMENTS, "segments:read"),
        (f"{SEGMENTS}lead/", "segments:read"),
        (members_of("lead"), "members:read"),
        (members_of("there-is-none"), "members:read"),
    ],
)
def test_the_error_names_the_scope_that_a_key_lacks(ask, address: str, scope: str) -> None:
    segment_store.install_templates()
    others = [other for other in keys.SCOPES if other not in (scope, keys.VISITORS_SCOPE)]

    told = problem(ask(address, *others), 403)

    assert told["code"] == "missing_scope"
    assert scope in told["message"]


def test_staff_read_with_the_permissions_they_have(client: Client) -> None:
    segment_store.install_templates()
    anna = User.objects.create_user("anna", is_staff=True)
    client.force_login(anna)
    assert "segments.view_segment" in problem(client.get(SEGMENTS), 403)["message"]

    anna.user_permissions.add(Permission.objects.get(codename="view_segment"))
    assert client.get(SEGMENTS).status_code == 200
    assert "segments.view_membership" in problem(client.get(members_of("lead")), 403)["message"]

    members = Permission.objects.filter(codename__in=["view_membership", "view_contact_data"])
    anna.user_permissions.add(*members)
    assert client.get(members_of("lead")).status_code == 200


def test_a_user_who_is_not_staff_reads_nothing(client: Client) -> None:
    carl = User.objects.create_user("carl")
    carl.user_permissions.add(Permission.objects.get(codename="view_segment"))
    client.force_login(carl)

    problem(client.get(SEGMENTS), 403)


def test_a_wrong_key_is_refused_despite_a_session(admin_client: Client) -> None:
    problem(admin_client.get(SEGMENTS, headers={"Authorization": "Bearer seg_old"}), 401)


def test_staff_browse_the_api(admin_client: Client, django_assert_max_num_queries) -> None:
    shop.customers("c1,zoë@example.com", "c2,b@example.com")
    refreshed("known", {"known": {"is": True}})

    with django_assert_max_num_queries(8):
        page = admin_client.get(members_of("known"), {"page_size": 1}, headers={"Accept": "text/html"})

    assert page["Content-Type"].startswith("text/html")
    assert "zoë@example.com" in page.content.decode()
    assert "cursor=" in page.content.decode()
    assert '"http' not in page.content.decode().replace('"http://testserver', "")


@pytest.mark.parametrize(("query", "status"), [("", 401), ("?cursor=x", 401), ("?format=xml", 404)])
def test_a_browser_gets_errors_as_a_page(client: Client, query: str, status: int) -> None:
    page = client.get(f"{SEGMENTS}{query}", headers={"Accept": "text/html"})

    assert page.status_code == status
    assert "&quot;code&quot;" in page.content.decode() or '"code"' in page.content.decode()


def test_a_browser_gets_the_error_of_an_invalid_cursor_as_a_page(admin_client: Client) -> None:
    page = admin_client.get(SEGMENTS, {"cursor": "x"}, headers={"Accept": "text/html"})

    assert page.status_code == 400
    assert "not valid" in page.content.decode()


# -- What is wrong


@pytest.mark.parametrize(
    "address",
    [f"{SEGMENTS}there-is-none/", members_of("there-is-none")],
)
def test_the_error_names_an_unknown_segment(ask, address: str) -> None:
    told = problem(ask(address), 404)

    assert told == {"code": "not_found", "message": "There is no segment there-is-none.", "errors": []}


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/nothing/",
        "/api/v1/segments/bücher/",
        "/api/v1/segments/lead/x/y/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_url_has_the_same_error_format(method: str, address: str) -> None:
    client = Client(enforce_csrf_checks=True)

    assert problem(getattr(client, method)(address), 404)["code"] == "not_found"


def test_a_url_without_its_slash_is_redirected(ask) -> None:
    response = ask("/api/v1/segments", data={"page_size": 3})

    assert response.status_code == 308
    assert response["Location"] == "/api/v1/segments/?page_size=3"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_read_only_endpoints_reject_writing(ask, method: str) -> None:
    told = problem(ask(members_of("lead"), method=method), 405)

    assert told["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%%%",
        "ü",
        "\0",
        "YWZ0ZXI6",
        "a" * 5000,
        "YWZ0ZXI6LTE",
        "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
        "1042",
    ],
)
def test_a_bad_cursor_is_refused(ask, cursor: str) -> None:
    refreshed("known", {"known": {"is": True}})

    for address in (members_of("known"), SEGMENTS):
        told = problem(ask(address, data={"cursor": cursor}), 400)
        assert told["code"] == "invalid"
        assert [place["path"] for place in told["errors"]] == ["cursor"]


@pytest.mark.parametrize("size", ["0", "-1", "ten", "1.5", "", " ", "٣", "1e3"])
def test_a_bad_page_size_is_refused(ask, size: str) -> None:
    told = problem(ask(SEGMENTS, data={"page_size": size}), 400)

    assert told["errors"] == [{"path": "page_size", "message": "Send a whole number from 1 to 200."}]
    assert told["message"] == "page_size: Send a whole number from 1 to 200."


def test_an_unknown_format_is_refused(ask) -> None:
    problem(ask(SEGMENTS, data={"format": "xml"}), 404)


def test_a_server_error_has_no_details(client: Client, caplog) -> None:
    _, secret = keys.create_key("bot", READER)
    client.raise_request_exception = False

    with patch("segments.api.segments.Segment.objects.filter", side_effect=RuntimeError("a secret detail")):
        response = client.get(f"{SEGMENTS}lead/", headers={"Authorization": f"Bearer {secret}"})

    assert "secret" not in problem(response, 500)["message"]
    assert "a secret detail" in caplog.text


class LineSerializer(serializers.Serializer[Any]):
    """A nested part of a request body."""

    sku = serializers.CharField()
    quantity = serializers.IntegerField()


class OrderSerializer(serializers.Serializer[Any]):
    """A request body."""

    order_id = serializers.CharField()
    lines = LineSerializer(many=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Reject a body whose fields are valid one by one, but not together."""
        if not attrs["lines"]:
            raise serializers.ValidationError("An order has lines.")
        return attrs


class Orders(APIView):
    """A view with a request body."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Any) -> Response:
        """Validate the body."""
        given = OrderSerializer(data=request.data, many=isinstance(request.data, list))
        given.is_valid(raise_exception=True)
        return Response(status=204)


urlpatterns = [path("orders/", Orders.as_view())]


@pytest.mark.parametrize(
    ("sent", "paths"),
    [
        ({"lines": []}, ["order_id"]),
        ({"order_id": "1", "lines": []}, [""]),
        (
            {"order_id": "1", "lines": [{"sku": "a", "quantity": 1}, {"quantity": "x"}]},
            ["lines[1].sku", "lines[1].quantity"],
        ),
        ([{"order_id": "1", "lines": [{"sku": "a", "quantity": 1}]}, {"order_id": "2"}], ["[1].lines"]),
        ("text", [""]),
    ],
    ids=["missing", "together", "nested", "list", "another kind"],
)
@override_settings(ROOT_URLCONF=__name__)
def test_errors_of_the_body_have_paths(client: Client, sent: Any, paths: list[str]) -> None:
    told = problem(client.post("/orders/", json.dumps(sent), content_type="application/json"), 400)

    assert told["code"] == "invalid"
    assert [place["path"] for place in told["errors"]] == paths


@pytest.mark.parametrize(
    ("sent", "kind", "status", "code"),
    [
        ("{", "application/json", 400, "parse_error"),
        ("\ufeff\0", "application/json", 400, "parse_error"),
        ("a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
@override_settings(ROOT_URLCONF=__name__)
def test_an_unreadable_body_is_refused(client: Client, sent: str, kind: str, status: int, code: str) -> None:
    assert problem(client.post("/orders/", sent, content_type=kind), status)["code"] == code


# -- The documentation


def test_the_schema_is_valid_and_describes_authentication(client: Client, capsys) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json")

    schema = json.loads(capsys.readouterr().out)
    assert {
        SEGMENTS,
        f"{SEGMENTS}{{slug}}/",
        members_of("{slug}"),
        "/api/v1/visitors/{anonymous_id}/segments/",
    } < set(schema["paths"])
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
        assert {"apiKey": []} in operation["security"]
        assert {"401", "403"} < set(operation["responses"])
    assert client.get("/api/schema/").status_code == 200
