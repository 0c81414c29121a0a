"""Pages that say what went wrong: in the looks of the house, with a way back, also while the database is away."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db

ASK_WITHOUT_A_DATABASE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "segments_project.settings"
import django; django.setup()
from django.test import Client
client = Client(raise_request_exception=False, SERVER_NAME="localhost")
client.cookies["sessionid"] = "x" * 32
for address in ("/admin/", "/admin/segments/segment/?q=a", "/admin/nowhere/"):
    answered = client.get(address)
    print(answered.status_code, "To the overview" in answered.text, "Try again" in answered.text)
"""


@pytest.fixture
def staff() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create(username="looking", is_staff=True))
    return client


def page(answered: Any, status: int, title: str) -> str:
    text: str = answered.content.decode()
    assert answered.status_code == status
    assert title in text
    assert "core/error.css" in text
    return text


def test_error_pages_for_staff_give_the_reason_and_a_next_step(staff, admin_client):
    admin_client.raise_request_exception = False
    overview = f'href="{reverse("admin:index")}"'

    assert overview in page(
        staff.get("/admin/customers/customer/"), 403, "You do not have permission to see this"
    )
    assert overview in page(
        admin_client.get("/admin/segments/segment/99/members/"), 404, "This page does not exist"
    )
    asked = admin_client.get("/admin/customers/customer/", {"email__startswith": "a"})
    assert overview in page(asked, 400, "This address is not valid")


def test_an_expired_form_says_so(admin_user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    told = page(client.post("/admin/auth/group/add/", {"name": "x"}), 403, "This form has expired")

    assert "Nothing was changed" in told


def test_a_missing_page_links_to_the_shop(settings, client):
    settings.SHOP_URL, settings.SHOP_NAME = "https://shop.example/", "Shoes & more"

    told = page(client.get("/nowhere/"), 404, "This page does not exist")

    assert 'href="https://shop.example/"' in told
    assert "To Shoes &amp; more" in told


def test_programs_get_errors_in_their_format(client):
    assert client.get("/api/v1/nowhere/").json()["code"] == "not_found"


def test_the_error_page_works_without_the_database():
    away = {**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "SECRET_KEY": "x"}

    done = subprocess.run(
        [sys.executable, "-c", ASK_WITHOUT_A_DATABASE],
        cwd=settings.BASE_DIR,
        env=away,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.splitlines() == ["503 True True"] * 3, done.stderr[-2000:]
