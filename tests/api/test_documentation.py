"""The examples in docs/api.md work as they stand, one after another, for a new shop with a key."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from core.api import keys
from tests.support.web_server import running

pytestmark = pytest.mark.django_db(transaction=True)

# An example, and the answer where it is shown right behind it.
EXAMPLE = re.compile(r"^```(sh|python)\n(.*?)^```\n(?:\n```json\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
# An error ends the script.
SHELL = 'set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body "$@"; echo; }\n'


def shape(value: Any) -> Any:
    """Return the structure of a response: names and types, without instants."""
    match value:
        case dict():
            return {name: shape(one) for name, one in value.items()}
        case list():
            return [shape(one) for one in value]
        case str() if re.match(r"\d{4}-\d\d-\d\dT", value):
            return "an instant"
    return value


@pytest.mark.usefixtures("celery_worker")
def test_the_examples_work_one_after_another(environment: dict[str, str], tmp_path: Path) -> None:
    _, key = keys.create_key("First steps", ["segments:read", "segments:write", "members:read", "ingest"])
    told = (settings.BASE_DIR / "docs" / "api.md").read_text(encoding="utf-8")
    compared = 0
    with running({**environment, "LOG_LEVEL": "WARNING"}, tmp_path / "web.log") as web:
        known = {"SEGMENTS": f"{web.address}/api/v1", "AUTH": f"Authorization: Bearer {key}"}
        for language, text, answer in EXAMPLE.findall(told):
            program = ["bash", "-c", SHELL + text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(
                program, cwd=tmp_path, env={**os.environ, **known}, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            if answer:
                assert shape(json.loads(done.stdout.splitlines()[-1])) == shape(json.loads(answer))
                compared += 1

    assert compared == 3
    assert (tmp_path / "members.csv").read_text().splitlines()[1].startswith("1042,")
    assert json.loads((tmp_path / "followed.json").read_text())["members"] == ["1042"]
