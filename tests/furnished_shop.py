"""The demo's shop with something on every page: what browsers, screenshots and the benchmark of pages look at."""

import json
from datetime import UTC, datetime

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client

from customers import keys
from customers.models import ApiKey, Customer
from segments import definition, verification
from segments.models import Segment, Verification
from tests.pages import PAGES

LOGIN, PASSWORD = "admin", "for the browser only"


def make(customers: int) -> None:
    """Make the shop; print as the last line where its pages are, and a session of each of the staff."""
    call_command("demo", customers=customers, no_serve=True)
    furnish()
    print(json.dumps({"addresses": addresses(), "sessions": sessions()}))  # noqa: T201


def furnish() -> None:
    """Add what a shop has only after some use: a fixed list, a key, a verification, staff."""
    at = datetime.now(UTC)
    if not Segment.objects.filter(slug="guests").exists():
        guests = Customer.objects.existing().order_by("pk").values_list("pk", flat=True)[:5]
        definition.create_static("guests", "Guests", guests, at, description="Invited to the opening.")
    if not ApiKey.objects.exists():
        keys.create("Newsletter tool", ["segments:read", "members:read"])
    if not Verification.objects.exists():
        verification.record(at)
    password = make_password(PASSWORD)  # once: hashing takes its time
    User.objects.get_or_create(
        username=LOGIN, defaults={"is_staff": True, "is_superuser": True, "password": password}
    )
    for group in Group.objects.all():
        user, _ = User.objects.get_or_create(
            username=group.name.lower(), defaults={"is_staff": True, "password": password}
        )
        user.groups.set([group])


def addresses() -> dict[str, str]:
    """Give the address of every page."""
    return {page.view: page.address for page in PAGES}


def sessions() -> dict[str, str]:
    """Give the key of an open session of each of the staff."""
    opened = {}
    for user in User.objects.filter(is_staff=True):
        client = Client()
        client.force_login(user)
        opened[user.username] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return opened
