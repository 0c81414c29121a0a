"""The API matches its OpenAPI schema: schemathesis sends requests from it and checks every response.

Each request that fits the description has to be taken (``reasons.py`` lists for which reasons it may not be), each that
does not is refused, and every answer is one of those that are described.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from core.api import keys
from tests.support import shop
from tests.support.web_server import Web, running

pytestmark = pytest.mark.django_db(transaction=True)

SCOPES = ("segments:read", "segments:write", "members:read", "ingest", "privacy")
GROUPS = ("reading", "writing", "ingest", "costly", "visitors", "strangers", "guesses")
VISITORS = "^/api/v1/visitors/"
FOLDER = Path(__file__).parent


@pytest.fixture
def web(environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """A server without limits, for a small shop."""
    shop.customers("c1,zoe@example.com", "c2,", "c3,li@example.com")
    shop.orders("o1,c1,2026-03-01T10:00:00Z,120", "o2,c2,2026-03-02T10:00:00Z,20")
    shop.events("m1,c1,a1,Product Viewed,2026-03-01T09:00:00Z", "m2,,a2,Product Added,2026-03-03T09:00:00Z")
    rules: dict[str, dict[str, Any]] = {
        "buyers": {"order_count": {"at_least": 1}},
        "reachable": {"contact": {"has": "email"}},
        "reachable-buyers": {"all": [{"in_segment": {"is": "buyers"}}, {"known": {"is": True}}]},
    }
    for slug, rule in rules.items():
        shop.segment(slug, rule)
    shop.command("refresh_segments")
    without_limits = ",".join(f"{group}=0" for group in GROUPS)
    given = {**environment, "API_RATES": without_limits, "LOG_LEVEL": "CRITICAL"}
    with running(given, tmp_path / "web.log") as server:
        yield server


def cases_of(web: Web, key: str, *options: str) -> int:
    """Run schemathesis, fail with its message, and return how many requests were sent."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(FOLDER / "schemathesis.toml")),
            *("run", f"{web.address}/api/schema/", "--header", f"Authorization: Bearer {key}"),
            # In its place there is a check of ours, in reasons.py.
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
            *("--seed", "1", "--workers", "1", "--no-color", *options),
        ],
        cwd=settings.BASE_DIR,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_checks"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated, done.stdout
    sys.stdout.write(f"schemathesis, {' '.join(options)}: {generated[1]} cases\n")
    return int(generated[1].replace(",", ""))


def test_the_api_conforms_to_its_schema(web: Web) -> None:
    _, key = keys.create_key("all but visitors", SCOPES)
    _, visitors = keys.create_key("visitors", ["visitors:read"])

    phases = ("--phases", "examples,coverage,fuzzing", "--max-examples", "5")

    assert cases_of(web, key, *phases, "--exclude-path-regex", VISITORS) > 1_000
    assert cases_of(web, visitors, *phases, "--include-path-regex", VISITORS) > 10


@pytest.mark.long
def test_the_api_conforms_to_its_schema_in_thousands_of_requests(web: Web) -> None:
    _, key = keys.create_key("all but visitors", SCOPES)
    _, visitors = keys.create_key("visitors", ["visitors:read"])

    phases = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "100")

    assert cases_of(web, key, *phases, "--exclude-path-regex", VISITORS) > 3_000
    assert cases_of(web, visitors, "--max-examples", "100", "--include-path-regex", VISITORS) > 100
