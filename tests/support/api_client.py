"""A client of the API with a key, for tests. It returns responses or their content."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.test import Client

from core.api import keys

API = "/api/v1/"
ALL_SCOPES = ("segments:read", "segments:write", "members:read")


class ApiClient:
    """Calls the API below ``/api/v1/`` with a key of some scopes."""

    def __init__(self, *scopes: str) -> None:
        self.key, secret = keys.create_key("client", scopes or ALL_SCOPES)
        self.headers = {"Authorization": f"Bearer {secret}"}
        self.client = Client()

    def call(self, method: str, address: str, sent: Any = None, **headers: str) -> Any:
        """Call, and return the response."""
        body = {} if sent is None else {"data": json.dumps(sent), "content_type": "application/json"}
        address = address if address.startswith(("/", "http")) else API + address
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return getattr(self.client, method)(address, headers=self.headers | named, **body)

    def request(self, method: str, address: str, sent: Any = None, status: int = 200, **headers: str) -> Any:
        """Call, expect a status, and return the JSON of the response."""
        response = self.call(method, address, sent, **headers)
        assert response.status_code == status, response.content
        return response.json() if response.content else None

    def get(self, address: str, status: int = 200) -> Any:
        """Read."""
        return self.request("get", address, status=status)

    def post(self, address: str, sent: Any = None, status: int = 200) -> Any:
        """Send."""
        return self.request("post", address, sent, status)

    def patch(self, address: str, sent: Any, status: int = 200) -> Any:
        """Edit."""
        return self.request("patch", address, sent, status)

    def delete(self, address: str, status: int = 204) -> Any:
        """Delete."""
        return self.request("delete", address, status=status)


def error_paths(error: dict[str, Any]) -> list[str]:
    """Return the paths that an error names."""
    return [place["path"] for place in error["errors"]]


def streamed_text(response: Any) -> str:
    """The text of a stream that was sent."""
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def ndjson_objects(response: Any) -> list[dict[str, Any]]:
    """The objects of NDJSON."""
    return [json.loads(line) for line in streamed_text(response).splitlines()]


def names(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The customers of rows."""
    return [row["customer_id"] for row in rows]
