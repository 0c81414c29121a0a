"""The demo's shop with something on every page: what browsers, screenshots and the benchmark of pages look at."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from random import Random
from smtplib import SMTPRecipientsRefused
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse

from campaigns import lifecycle
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.delivery import sender as mailing
from campaigns.journeys import progress, triggers
from campaigns.links import signed_links
from campaigns.models import Campaign, CouponPool, Delivery, Step
from core.api import keys
from core.models import ApiKey
from customers.imports import csv_files, uploads
from customers.models import Customer, Import, Source
from customers.tracking import inbox, sources
from segments import fixed_lists
from segments.history import runs, segment_history
from segments.models import Endpoint, HistoryRun, Segment, Verification
from segments.refresh import verification
from segments.webhooks import delivery

from .admin_pages import PAGES, by_rule

LOGIN, PASSWORD = "admin", "for the browser only"


def make_furnished_shop(customers: int) -> None:
    """Make the shop; print as the last line where its pages are, and a session of each of the staff."""
    call_command("demo", customers=customers, no_serve=True)
    furnish_shop()
    print(json.dumps({"addresses": addresses(), "sessions": sessions()}))  # noqa: T201


def begin() -> None:
    """Let in the first administrator of an empty installation; print the same last line, without pages."""
    User.objects.create_superuser(LOGIN, "admin@shop.example", PASSWORD)
    print(json.dumps({"addresses": {}, "sessions": sessions()}))  # noqa: T201


def furnish_shop() -> None:
    """Add what a shop has only after some use: staff and what they did, a key, a verification, a failed login."""
    password = make_password(PASSWORD)  # once: hashing takes its time
    User.objects.get_or_create(
        username=LOGIN, defaults={"is_staff": True, "is_superuser": True, "password": password}
    )
    for group in Group.objects.all():
        user, _ = User.objects.get_or_create(
            username=group.name.lower(), defaults={"is_staff": True, "password": password}
        )
        user.groups.set([group])
    if not Segment.objects.filter(slug="guests").exists():
        existing = Customer.objects.existing().order_by("pk").values_list("customer_id", flat=True)
        subscribed = list(existing.filter(newsletter=Customer.Newsletter.SUBSCRIBED)[:3])
        guests = subscribed + list(existing.exclude(customer_id__in=subscribed)[: 5 - len(subscribed)])
        fields = {"name": "Guests", "slug": "guests", "description": "Invited to the opening."}
        address = reverse("admin:segments_segment_fixed_list")
        logged_in_client(LOGIN).post(address, fields | {"ids": "\n".join(guests)})
    if not Campaign.objects.exists():
        run_campaigns(logged_in_client(LOGIN), Segment.objects.get(slug="guests"))
    if not Endpoint.objects.exists():
        send_a_webhook(logged_in_client(LOGIN), Segment.objects.get(slug="guests"))
    if not Import.objects.exists():
        import_a_file(logged_in_client(LOGIN))
    if not ApiKey.objects.exists():
        keys.create_key("Newsletter tool", ["segments:read", "members:read"])
    if not Source.objects.exists():
        _, key = sources.create_source(Source(name="Back office", kind="server"))
        said = [{"userId": user, "traits": {"email": "shared@example.org"}} for user in ("c-1", "c-2")]
        batch = [*({"type": "identify", **one} for one in said), {"type": "dance"}]
        sent = {"writeKey": key, "batch": batch}
        anonymous_client().post("/v1/batch", sent, content_type="application/json")
        inbox.drain()
    if not CouponPool.objects.exists():
        make_coupons()
    if not Verification.objects.exists():
        verification.verify_all(datetime.now(UTC))
    if Segment.objects.filter(slug="lost").exists() and not HistoryRun.objects.exists():
        compute_histories(logged_in_client(LOGIN))
    anonymous_client().post(reverse("admin:login"), {"username": "guest", "password": "guessed"})


def compute_histories(client: Client) -> None:
    """Compute the past of a segment, and of other numbers in its rule."""
    segment, at = Segment.objects.get(slug="lost"), datetime.now(UTC)
    yesterday = segment_history.last_day(at)
    runs.request_history(segment, yesterday - timedelta(days=89), yesterday, at)
    client.post(
        reverse("admin:segments_segment_history_compare", args=[segment.pk]),
        {"number": "0", "value": ["60d", "90d", "120d"]},
    )
    while runs.run_next():
        pass


def send_a_webhook(client: Client, guests: Segment) -> None:
    """Add a webhook at which nobody answers, and tell it of somebody on a fixed list who left and came back."""
    fields = {"name": "Newsletter tool", "url": "http://127.0.0.1:9/hooks", "every_segment": "on"}
    with override_settings(WEBHOOK_ALLOWED_NETWORKS=[ip_network("127.0.0.1")]):
        client.post(reverse("admin:segments_endpoint_add"), fields)
        guest = guests.memberships.order_by("customer_id").values_list("customer_id", flat=True)[:1]
        for change in (fixed_lists.remove_customers, fixed_lists.add_customers):
            change(guests, list(guest), datetime.now(UTC))
        delivery.deliver_due()


def make_coupons() -> None:
    """Make a pool of codes."""
    pool = coupon_pool.save_pool(CouponPool(name="First order", description="10 % off"))
    pool_codes.generate_codes(pool, 100, 10, Random(1), prefix="HELLO-")


class RefusingBackend(EmailBackend):
    """A mail server that knows nobody under the first address it is told."""

    refused: str | None = None

    def send_messages(self, messages: Any) -> int:
        [message] = messages
        kind = type(self)
        kind.refused = kind.refused or message.to[0]
        if message.to[0] == kind.refused:
            raise SMTPRecipientsRefused({message.to[0]: (550, f"no such user: {message.to[0]}".encode())})
        return super().send_messages(messages)


def run_campaigns(client: Client, guests: Segment) -> None:
    """Write to the guests, of whom some are refused or held back; begin a draft; export an audience."""
    now = datetime.now(UTC)
    text = "Dear {{ customer.first_name | default: 'guest' }},\n\nwe open on Friday."
    steps = [
        Step(subject=subject, text=text, wait=timedelta(days=days))
        for subject, days in (("We open", 0), ("We open soon", 2), ("We open tomorrow", 3))
    ]
    opening = Campaign(name="Opening", segment=guests, trigger=Campaign.Trigger.AT)
    lifecycle.save_campaign(opening, steps)
    lifecycle.start(opening, now - timedelta(days=2))
    with override_settings(EMAIL_BACKEND="tests.support.furnished_shop.RefusingBackend"):
        for at in (now - timedelta(days=2), now):
            triggers.process_triggers(at)
            progress.advance_journeys(at)
            mailing.send_due_deliveries(at)
    for token in Delivery.objects.filter(state=Delivery.State.SENT).values_list("token", flat=True)[:1]:
        signed_links.record_click(signed_links.ClickedLink(token, "https://shop.example/"), now)
    client.post(reverse("admin:campaigns_campaign_segment", args=[guests.pk]), {"tactic": "announcement"})
    for segment in by_rule()[:1]:
        address = reverse("admin:campaigns_campaign_audience_download", args=[segment.pk])
        b"".join(client.post(address, {"platform": "meta"}))


def import_a_file(client: Client) -> None:
    """Import a small file in the admin, of which one row is refused."""
    rows = b"customer_id,email,tier\nvip-1,vip@example.org,gold\nvip-2,nobody,\n"
    with tempfile.TemporaryDirectory() as folder, override_settings(IMPORTS_DIR=folder):
        client.post(reverse("admin:customers_import_add"), {"file": SimpleUploadedFile("vips.csv", rows)})
        uploads.start_import(Import.objects.get(), csv_files.FORMATS["customers"], datetime.now(UTC))
        uploads.run_next_import()


def anonymous_client(**options: Any) -> Client:
    """Give a client that is not logged in, under a name that every installation answers to."""
    return Client(SERVER_NAME="localhost", **options)


def logged_in_client(name: str, **options: Any) -> Client:
    """Give a client that one of the staff is logged in with."""
    client = anonymous_client(**options)
    client.force_login(User.objects.get(username=name))
    return client


def addresses() -> dict[str, str]:
    """Give the address of every page."""
    return {page.view: page.address for page in PAGES}


def sessions() -> dict[str, str]:
    """Give the key of an open session of each of the staff."""
    staff = User.objects.filter(is_staff=True).values_list("username", flat=True)
    return {name: logged_in_client(name).cookies[settings.SESSION_COOKIE_NAME].value for name in staff}
