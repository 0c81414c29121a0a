"""Ids in URLs: customers with any id can be read, explained, exported and erased."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core.api import keys
from customers.models import Customer
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, send, source, track
from tests.support.web_server import running

IDS = (
    *(
        "eu/1042",
        "a/b/c",
        "/lead",
        "trail/",
        "//",
        "a?b",
        "a#b",
        "a%b",
        "a%2Fb",
        "a%252Fb",
        "100%",
        "a b",
        "a+b",
    ),
    *(
        "a&b=c",
        "a;b",
        "a.b",
        ".",
        "..",
        "../x",
        "a\\b",
        "Größe/é",
        "a:b",
        "日本/1",
        "x@example.com",
        "*",
        "a,b",
    ),
)
SCOPES = ("ingest", "members:read", "segments:read", "privacy")


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient(*SCOPES)


@pytest.mark.django_db
def test_a_customer_with_any_id_is_reachable_at_every_url(caller: ApiClient) -> None:
    _, key = source()
    send(key, *(identify(one, email=f"a{n}@example.com") for n, one in enumerate(IDS)))
    send(key, *(track("View", anonymous=f"{one}v") for one in IDS))
    caller.post("customers/", [{"customer_id": one, "city": one} for one in IDS])
    shop.segment("known", {"known": {"is": True}})
    refresh_all()
    visitors = ApiClient("visitors:read")

    for customer_id in IDS:
        told, visitor = quote(customer_id, safe=""), f"anonymous:{customer_id}v"
        assert caller.get(f"customers/{told}/")["city"] == customer_id
        assert caller.get(f"customers/{told}/export/")["customer"]["customer_id"] == customer_id
        assert caller.get(f"customers/{told}/segments/")["segments"][0]["slug"] == "known"
        assert caller.get(f"segments/known/members/{told}/")["member"] is True
        assert caller.get(f"customers/{quote(visitor, safe='')}/")["customer_id"] == visitor
        assert visitors.get(f"visitors/{told}v/segments/")["segments"] == []
    for customer_id in IDS:
        told = quote(customer_id, safe="")
        assert caller.request("delete", f"customers/{told}/", status=204) is None
        assert caller.get(f"customers/{told}/", status=404)["code"] == "not_found"
    assert not Customer.objects.filter(customer_id__in=IDS).exists()


@pytest.mark.django_db
def test_an_unknown_url_is_not_found(caller: ApiClient) -> None:
    assert caller.get("nowhere/", status=404)["message"] == "/api/v1/nowhere/ does not exist."
    assert caller.get("customers/eu/1/", status=404)["message"] == "There is no customer eu/1."


@pytest.mark.django_db(transaction=True)
def test_an_encoded_slash_does_not_separate_parts_of_the_url(
    environment: dict[str, str], tmp_path: Path
) -> None:
    ids = ("eu", "eu/export", "eu/segments", "eu%2Fexport", "eu/1042", "..", "Größe/é")
    shop.import_rows("customers", *([one, one] for one in ids), header="customer_id,city")
    _, secret = keys.create_key("client", SCOPES)

    with running(environment, tmp_path / "web.log") as web:
        connection = HTTPConnection("127.0.0.1", web.port, timeout=10)

        def ask(method: str, address: str) -> tuple[int, Any]:
            connection.request(method, f"/api/v1/{address}", headers={"Authorization": f"Bearer {secret}"})
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None

        for customer_id in ids:
            told = quote(customer_id, safe="")
            assert ask("GET", f"customers/{told}/")[1]["city"] == customer_id
            assert ask("GET", f"customers/{told}/export/")[1]["customer"]["city"] == customer_id
            assert ask("GET", f"customers/{told}/segments/")[1]["customer_id"] == customer_id
        assert ask("GET", "customers/eu/export/")[1]["customer"]["city"] == "eu"
        assert ask("GET", "customers/eu/1042/")[1]["city"] == "eu/1042"
        for customer_id in ids:
            assert ask("DELETE", f"customers/{quote(customer_id, safe='')}/") == (204, None)
        connection.close()

    assert not Customer.objects.filter(customer_id__in=ids).exists()
