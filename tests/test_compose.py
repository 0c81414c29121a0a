"""The installation that compose.yaml describes: every setting reaches it, and it is safe to deploy."""

import os
import re
import secrets
import subprocess
import sys
from typing import Any

import pytest
import yaml
from django.conf import settings

NOT_PASSED_ON = {
    "DEBUG": "shows strangers the code and the settings",
}
GIVEN = {
    "PUBLIC_URL": "https://segments.shop.example",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "POSTGRES_PASSWORD": "letters",
    "REDIS_PASSWORD": "digits",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    described: dict[str, Any] = yaml.safe_load((settings.BASE_DIR / "compose.yaml").read_text())
    return described


def environment_of(service: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """What Docker makes of the variables of a service; those without a value are passed on where they are set."""

    def filled(value: str) -> str:
        return re.sub(
            r"\$\{([A-Z_]+)(?::-([^}]*)|:\?)?\}", lambda found: given.get(found[1], found[2] or ""), value
        )

    return {
        name: given[name] if value is None else filled(str(value))
        for name, value in service["environment"].items()
        if value is not None or name in given
    }


def test_every_setting_reaches_each_process(compose: dict[str, Any]) -> None:
    """The settings read the environment by these words alone; tests/test_project.py holds them to it."""
    source = (settings.BASE_DIR / "segments_project" / "settings.py").read_text()
    read = set(re.findall(r"\benv\.\w+\(\s*\"([A-Z_]+)\"", source))

    assert {"EMAIL_URL", "DEFAULT_FROM_EMAIL", "SECRET_KEY_FALLBACKS"} <= read
    for name, service in compose["services"].items():
        if "build" in service:  # ours
            assert read - set(service["environment"]) == set(NOT_PASSED_ON), name
            assert set(service["environment"]) <= read, f"{name} is given what no setting reads"


def test_settings_read_the_environment_only_through_env() -> None:
    source = (settings.BASE_DIR / "segments_project" / "settings.py").read_text()

    assert "os.environ" not in source
    assert "getenv" not in source
    assert len(re.findall(r"\benv\.(?!Env\b|\w+_config\b)\w+\(", source)) == len(
        re.findall(r"\benv\.\w+\(\s*\"[A-Z_]+\"", source)
    )


def test_compose_needs_only_the_documented_variables(compose: dict[str, Any]) -> None:
    text = (settings.BASE_DIR / "compose.yaml").read_text()
    required = set(re.findall(r"\$\{([A-Z_]+):\?\}", text))

    assert required == set(GIVEN)
    introduction = text.split("x-application")[0]
    assert not [name for name in required if f"{name}=" not in introduction]


def test_an_installation_is_safe_to_deploy(compose: dict[str, Any]) -> None:
    given = {**GIVEN, "EMAIL_URL": "smtp+tls://user:password@mail.example:587"}
    environment = environment_of(compose["services"]["web"], given)
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert environment["REDIS_URL"] == "redis://:digits@redis:6379/0"
    assert environment["EMAIL_URL"] == given["EMAIL_URL"]


def test_redis_requires_a_password(compose: dict[str, Any]) -> None:
    command = compose["services"]["redis"]["command"]

    assert command[command.index("--requirepass") + 1] == "${REDIS_PASSWORD:?}"


def test_only_the_proxy_is_reachable_from_outside(compose: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}

    assert ports.pop("proxy") == ["80:80", "443:443"]
    assert all(port.startswith("127.0.0.1:") for listed in ports.values() for port in listed)
