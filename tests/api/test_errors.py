"""All errors below /api/ have one format, wherever they occur."""

import json
from typing import Any

import pytest
from django.conf import settings as installed
from django.contrib.auth.models import User
from django.core import exceptions
from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404
from django.test import Client, override_settings
from django.test.client import FakePayload
from django.urls import include, path
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api import keys
from core.api.parsers import MAX_BODY_BYTES
from customers.models import Customer

pytestmark = pytest.mark.django_db

API = "/api/v1/"
JSON = "application/json"


@pytest.fixture
def key() -> dict[str, str]:
    _, secret = keys.create_key("client", [scope for scope in keys.SCOPES if scope != keys.VISITORS_SCOPE])
    return {"Authorization": f"Bearer {secret}"}


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
    ("method", "address", "sent", "status", "code"),
    [
        ("get", "nothing/", {}, 404, "not_found"),
        ("get", "segments/there-is-none/", {}, 404, "not_found"),
        ("get", "customers/nobody/", {}, 404, "not_found"),
        ("get", "customers/%00/", {}, 404, "not_found"),
        ("get", "customers/%ff%fe/", {}, 404, "not_found"),
        ("get", "segments/%ED%A0%80/", {}, 404, "not_found"),
        ("get", "customers/?cursor=x", {}, 400, "invalid"),
        ("get", "customers/?format=xml", {}, 404, "not_found"),
        ("get", "customers/", {"Accept": "application/xml"}, 406, "not_acceptable"),
        ("get", "customers/", {"Accept": "text/csv;q=x, \x01"}, 406, "not_acceptable"),
        ("put", "customers/", {}, 405, "method_not_allowed"),
        ("patch", "customers/c1/", {}, 405, "method_not_allowed"),
        ("trace", "customers/", {}, 405, "method_not_allowed"),
        ("post", "customers/", "{", 400, "parse_error"),
        ("post", "customers/", "", 400, "invalid"),
        ("post", "customers/", "NaN", 400, "parse_error"),
        ("post", "customers/", '{"a": 1} 2', 400, "parse_error"),
        ("post", "customers/", b'{"customer_id": "\xff"}', 400, "parse_error"),
        ("post", "customers/", b"\x1f\x8b\x08\x00", 400, "parse_error"),
        ("post", "customers/", "[" * 100_000, 400, "parse_error"),
        ("post", "customers/", "9" * 5_000, 400, "parse_error"),
        ("post", "customers/", '{"email": "nobody"}', 400, "invalid"),
        ("post", "customers/", '"text"', 400, "invalid"),
        ("post", "customers/", b" " * (MAX_BODY_BYTES + 1), 413, "too_large"),
    ],
)  # fmt: skip
def test_all_errors_have_the_same_format(
    method: str, address: str, sent: Any, status: int, code: str, key: dict[str, str], client: Client
) -> None:
    body = {} if isinstance(sent, dict) else {"data": sent, "content_type": JSON}
    headers = key | (sent if isinstance(sent, dict) else {})

    response = getattr(client, method)(API + address, headers=headers, **body)

    assert problem(response, status)["code"] == code
    if status == 405:
        assert "GET" in response["Allow"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_other_kinds_of_bodies_are_refused(kind: str, key: dict[str, str], client: Client) -> None:
    told = problem(client.post(f"{API}events/", b"a=b", content_type=kind, headers=key), 415)

    assert told["code"] == "unsupported_media_type"


def test_a_header_cannot_override_the_method(key: dict[str, str], client: Client) -> None:
    client.post(f"{API}customers/", {"customer_id": "c1"}, content_type=JSON, headers=key)
    wish = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}

    problem(client.post(f"{API}customers/c1/?_method=DELETE", {}, content_type=JSON, headers=key | wish), 405)
    assert client.get(f"{API}customers/c1/?_method=DELETE", headers=key | wish).status_code == 200

    assert Customer.objects.count() == 1


@pytest.mark.parametrize("address", ["customers/", "nothing/", "segments/"])
def test_a_request_for_another_host_is_refused(address: str, key: dict[str, str], client: Client) -> None:
    told = problem(client.get(API + address, headers=key, HTTP_HOST="evil.example"), 400)

    assert "evil" not in told["message"]


def test_a_truncated_body_is_a_client_error(key: dict[str, str], client: Client) -> None:
    class Broken(FakePayload):
        def read(self, *args: Any) -> bytes:
            raise OSError("connection reset")

    broken: dict[str, Any] = {"wsgi.input": Broken()}
    response = client.post(f"{API}customers/", b"{}", content_type=JSON, headers=key, **broken)

    problem(response, 400)


# -- Faults of ours


class Failing(JSONRenderer):
    """Middleware that fails after the view."""

    def render(self, *args: Any, **kwargs: Any) -> bytes:
        """Fail."""
        raise RuntimeError("a secret detail")


class Unwritable(APIView):
    """A view whose response cannot be rendered."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = [Failing]

    def get(self, request: Any) -> Response:
        """Answer."""
        return Response({})


class Raising(APIView):
    """A view that raises Django's own exceptions for requests."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Any, what: str) -> Response:
        """Raise."""
        raise RAISED[what]


RAISED: dict[str, Exception] = {
    "RequestDataTooBig": exceptions.RequestDataTooBig("a secret detail"),
    "TooManyFieldsSent": exceptions.TooManyFieldsSent("a secret detail"),
    "SuspiciousOperation": exceptions.SuspiciousOperation("a secret detail"),
    "BadRequest": exceptions.BadRequest("a secret detail"),
    "PermissionDenied": exceptions.PermissionDenied(),
    "Http404": Http404(),
}


class FailingMiddleware:
    """Middleware that fails before the view."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: WSGIRequest) -> Any:
        """Fail."""
        raise RuntimeError("a secret detail")


urlpatterns = [
    path("api/unwritable/", Unwritable.as_view()),
    path("api/raising/<str:what>/", Raising.as_view()),
    path("", include("segments_project.urls")),
]
handler400 = "core.api.error_views.bad_request"
handler404 = "core.api.error_views.page_not_found"
handler500 = "core.api.error_views.server_error"


@pytest.mark.parametrize("where", ["in the answer", "before the view"])
def test_an_exception_outside_of_a_view_is_answered_without_details(
    where: str, client: Client, caplog
) -> None:
    client.raise_request_exception = False
    before = [f"{__name__}.FailingMiddleware"] if where == "before the view" else []

    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[*before, *installed.MIDDLEWARE]):
        response = client.get("/api/unwritable/")
        elsewhere = client.get("/admin/login/")

    assert "secret" not in problem(response, 500)["message"]
    assert "a secret detail" in caplog.text
    if before:
        assert elsewhere["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("RequestDataTooBig", 413),
        ("TooManyFieldsSent", 413),
        ("SuspiciousOperation", 400),
        ("BadRequest", 400),
        ("PermissionDenied", 403),
        ("Http404", 404),
    ],
)
@override_settings(ROOT_URLCONF=__name__)
def test_exceptions_of_django_in_a_view_are_translated(what: str, status: int, client: Client) -> None:
    assert "secret" not in problem(client.get(f"/api/raising/{what}/"), status)["message"]


def test_pages_outside_of_the_api_keep_their_error_pages(client: Client) -> None:
    for response in (client.get("/nothing/"), client.get("/admin/", HTTP_HOST="evil.example")):
        assert response.status_code in (400, 404)
        assert response["Content-Type"].startswith("text/html")


def test_errors_of_the_documentation_have_the_same_format(client: Client) -> None:
    for address in ("/api/schema/", "/api/docs/"):
        assert problem(client.post(address), 405)["code"] == "method_not_allowed"
        problem(client.get(address, headers={"Authorization": "Bearer seg_wrong"}), 401)


# -- In a browser, logged in


def test_staff_log_in_use_the_api_and_log_out_in_a_browser() -> None:
    User.objects.create_superuser("anna", password="right horse battery")
    browser = Client(enforce_csrf_checks=True, headers={"Accept": "text/html"})

    page = browser.get(f"{API}customers/").content.decode()
    assert f"/admin/login/?next={API}customers/" in page
    login = f"/admin/login/?next={API}customers/"
    browser.get(login)
    token = browser.cookies["csrftoken"].value
    entered = browser.post(
        login, {"username": "anna", "password": "right horse battery", "csrfmiddlewaretoken": token}
    )
    assert entered["Location"] == f"{API}customers/"

    page = browser.get(f"{API}customers/").content.decode()
    assert "anna" in page
    assert 'action="/admin/logout/?next=' in page

    body = json.dumps({"customer_id": "c1"})
    without = browser.post(f"{API}customers/", body, content_type=JSON, headers={"Accept": JSON})
    assert "CSRF" in problem(without, 403)["message"]
    token = browser.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token, "Accept": JSON}
    assert browser.post(f"{API}customers/", body, content_type=JSON, headers=headers).status_code == 201

    left = browser.post(f"/admin/logout/?next={API}customers/", {"csrfmiddlewaretoken": token})
    assert left["Location"] == f"{API}customers/"
    assert browser.get(f"{API}customers/").status_code == 401
