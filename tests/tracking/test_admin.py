"""The admin pages of sources, refused messages and identity conflicts."""

import html
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from customers.models import Batch, Identity, RefusedMessage, Source, UnsignedLink
from customers.tracking import inbox
from tests.support import furnished_shop, shop
from tests.support.tracking_messages import identify, message, post, send, signed, source

pytestmark = pytest.mark.django_db


def values_of(claim: UnsignedLink) -> dict[str, object]:
    return {
        field.attname: getattr(claim, field.attname) for field in claim._meta.fields if field.attname != "id"
    }


def address(view: str, *arguments: object) -> str:
    return reverse(f"admin:customers_{view}", args=arguments)


@pytest.mark.parametrize("kind", ["server", "browser"])
def test_a_new_source_shows_its_key_once_and_how_to_send(kind: str, admin_client: Client) -> None:
    fields = {"name": "Web shop", "kind": kind, "messages_a_minute": 1000}
    added = admin_client.post(address("source_add"), fields, follow=True)

    shown = added.content.decode()
    [key] = set(re.findall(r"wk_[\w-]+(?=</code>)", shown))
    made = Source.objects.get()
    assert (made.signing_secret in shown) == (kind == "browser")
    assert shown.count(key) >= 2
    assert post(key, "page", message("page", anonymous="a1")).status_code == 200
    later = admin_client.get(address("source_change", made.pk)).content.decode()
    assert key not in later
    assert made.signing_secret not in later
    assert "YOUR_WRITE_KEY" in later


def test_a_source_is_edited_and_revoked(admin_client: Client) -> None:
    made, key = source("browser")
    fields = {"name": "Web", "messages_a_minute": 7, "trusts_unsigned_ids": "on", "kind": "server"}
    admin_client.post(address("source_change", made.pk), fields)
    made.refresh_from_db()
    assert (made.name, made.messages_a_minute, made.trusts_unsigned_ids) == ("Web", 7, True)
    assert made.is_browser

    admin_client.post(address("source_changelist"), {"action": "revoke", "_selected_action": [made.pk]})
    assert post(key, "page", message("page", anonymous="a1")).status_code == 401


def test_a_source_counts_unlinked_browsers_and_shows_how_to_sign(admin_client: Client) -> None:
    web, key = source("browser")
    shop.customers("c1,c1@b.org")
    send(key, identify("c1", "a1"), identify("c1", "a2"), identify("new", "a3"), identify(anonymous="a4"))
    context = signed(web, "c1")
    send(key, message("identify", user="c1", anonymous="a5", traits={}, context=context))

    shown = admin_client.get(address("source_change", web.pk)).content.decode()

    assert "2 browsers sent a customer id without a signature" in re.sub(r"\s+", " ", shown)
    assert "hmac.new(SIGNING_SECRET.encode(), customer_id.encode(), hashlib.sha256)" in html.unescape(shown)
    server, _ = source("server")
    assert (
        "Prove who is logged in" not in admin_client.get(address("source_change", server.pk)).content.decode()
    )


def test_the_count_of_unlinked_browsers_is_grammatical(admin_client: Client) -> None:
    web, key = source("browser")
    shop.customers("c1,c1@b.org")
    send(key, identify("c1", "a1"))

    def told() -> str:
        page = admin_client.get(address("source_change", web.pk)).content.decode()
        return re.sub(r"\s+", " ", page)

    assert "1 browser sent a customer id without a signature and is not linked" in told()
    one = UnsignedLink.objects.get(kind=Identity.Kind.ANONYMOUS_ID)
    UnsignedLink.objects.bulk_create(
        UnsignedLink(**{**values_of(one), "value": f"b{number}"}) for number in range(1_233)
    )
    assert "1,234 browsers sent a customer id without a signature and are not linked" in told()


def test_the_source_of_a_browser_shows_the_sign_up_form_to_copy(admin_client: Client) -> None:
    fields = {"name": "Web shop", "kind": "browser", "messages_a_minute": 1000}
    page = admin_client.post(address("source_add"), fields, follow=True).content.decode()

    [key] = set(re.findall(r"wk_[\w-]+(?=</code>)", page))
    script = re.search(
        r'<script src="http://testserver(/static/[^"]+)" data-key="([^"]+)"', html.unescape(page)
    )
    assert script
    assert script[2] == key
    assert finders.find(script[1].removeprefix("/static/"))
    server, _ = source("server")
    assert "newsletter-form" not in admin_client.get(address("source_change", server.pk)).content.decode()


def test_a_refused_message_is_shown_and_tried_again(admin_client: Client) -> None:
    _, key = source()
    send(key, {"type": "dance", "userId": "c1"})
    [refused] = RefusedMessage.objects.all()
    assert "dance" in admin_client.get(address("refusedmessage_change", refused.pk)).content.decode()

    chosen = {"action": "try_again", "_selected_action": [refused.pk]}
    admin_client.post(address("refusedmessage_changelist"), chosen)

    assert Batch.objects.count() == 1
    inbox.drain()
    assert RefusedMessage.objects.get().reason == refused.reason


def test_conflicts_name_both_customers(admin_client: Client) -> None:
    _, key = source()
    send(key, identify("c1", email="x@b.org"), identify("c2", email="x@b.org", at="2026-03-02"))

    shown = admin_client.get(address("identitylink_changelist")).content.decode()

    assert "c1" in shown
    assert "c2" in shown
    assert "x@b.org" in shown


def test_staff_without_permission_see_no_contact_data() -> None:
    _, key = source()
    told = {"email": "nobody@at", "phone": "call 030 123456"}
    send(key, identify("c1", email="x@b.org"), identify("c2", email="x@b.org"), identify("c1", **told))
    furnished_shop.furnish_shop()
    client = furnished_shop.logged_in_client("viewer")
    seen = Permission.objects.filter(codename__in=["view_identitylink", "view_refusedmessage"])
    User.objects.get(username="viewer").user_permissions.set(seen)

    for view in ("identitylink_changelist", "refusedmessage_changelist"):
        shown = client.get(address(view)).content.decode()
        assert not [one for one in ("x@b.org", "nobody@at", "123456") if one in shown]
    for refused in RefusedMessage.objects.all():
        shown = client.get(address("refusedmessage_change", refused.pk)).content.decode()
        assert not [one for one in ("x@b.org", "nobody@at", "123456") if one in shown]
