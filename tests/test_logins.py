"""Logins: who fails too often has to wait, and an administrator lets them in."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.9"
FAILURES = 5


@pytest.fixture(autouse=True)
def anna() -> User:
    return User.objects.create_user("anna", password="right", is_staff=True)


def log_in(password: str, address: str = HOME, **headers: str) -> Any:
    data = {"username": "anna", "password": password}
    return Client(REMOTE_ADDR=address, headers=headers).post(reverse("admin:login"), data)


def fail(times: int = FAILURES, **options: str) -> Any:
    for _ in range(times):
        response = log_in("wrong", **options)
    return response


def test_the_last_failed_login_says_how_long_to_wait():
    with time_machine.travel(NOON, tick=False):
        assert fail(FAILURES - 1).status_code == 200
        response = log_in("wrong")

    assert response.status_code == 429
    assert response["Retry-After"] == "900"
    content = response.content.decode()
    assert "Try again in 15 minutes, or ask an administrator to unlock you" in content


def test_a_locked_out_user_cannot_log_in_and_attempts_do_not_extend_the_lockout():
    with time_machine.travel(NOON, tick=False) as clock:
        fail()
        clock.shift(14 * 60)
        refused = log_in("right")
        assert refused.status_code == 429
        assert "Try again in 1 minute," in refused.content.decode()
        clock.shift(61)
        assert log_in("right").status_code == 302


def test_a_login_resets_the_count_of_failures():
    fail(FAILURES - 1)
    assert log_in("right").status_code == 302
    assert fail(FAILURES - 1).status_code == 200


def test_other_users_and_addresses_are_not_locked_out():
    fail(address=ELSEWHERE)

    assert log_in("right", HOME).status_code == 302
    assert log_in("right", ELSEWHERE).status_code == 429


def test_without_a_proxy_forwarded_addresses_are_ignored():
    for number in range(FAILURES):
        response = fail(1, x_forwarded_for=f"192.0.2.{number}")

    assert response.status_code == 429


def test_behind_the_proxy_the_address_is_the_one_it_appended(settings):
    settings.BEHIND_HTTPS_PROXY = True
    for number in range(FAILURES):
        response = fail(1, x_forwarded_for=f"192.0.2.{number}, {ELSEWHERE}")

    assert response.status_code == 429
    assert log_in("right", x_forwarded_for=f"{ELSEWHERE}, {HOME}").status_code == 302


@pytest.mark.parametrize("given", ["", "unknown", "fe80::1%eth0", "1.2.3.4:80"])
def test_malformed_addresses_are_no_error(given, settings):
    settings.BEHIND_HTTPS_PROXY = True

    assert fail(address=given, x_forwarded_for=given).status_code == 429


def test_an_administrator_lifts_a_lockout(anna):
    fail()
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    listed = client.get(reverse("admin:axes_accessattempt_changelist"))
    [attempt] = listed.context["cl"].result_list
    assert "locked for 15 minutes" in listed.content.decode()
    unlock = {"action": "unlock", "_selected_action": [attempt.pk]}

    onlooker = User.objects.create_user("onlooker", is_staff=True)
    onlooker.user_permissions.add(Permission.objects.get(codename="view_accessattempt"))
    looking = Client()
    looking.force_login(onlooker)
    looking.post(reverse("admin:axes_accessattempt_changelist"), unlock)
    assert log_in("right").status_code == 429

    client.post(reverse("admin:axes_accessattempt_changelist"), unlock)
    assert log_in("right").status_code == 302
    assert "Unlocked anna" in client.get(reverse("admin:admin_logentry_changelist")).content.decode()
