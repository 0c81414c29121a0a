"""The requests of the message editor: a draft is previewed, checked and sent to oneself, and never stored."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.coupons import coupon_pool
from campaigns.links import shop_pages
from campaigns.models import Campaign, CouponPool, Step
from customers.models import Customer
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.campaign_runs import BUYERS, order, subscribers
from tests.support.shop import NOON
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

TEXT = {"type": "text", "content": '<p>Hello {{ first_name | default: "there" }}</p>'}


@pytest.fixture(autouse=True)
def the_shop(settings: Any) -> None:
    settings.SHOP_NAME, settings.SHOP_ADDRESS = "Lamps", "1 High Street, Bath"
    settings.SHOP_URL, settings.SHOP_URL_IS_CONFIGURED = "https://shop.example/", True
    settings.PUBLIC_URL = "https://crm.example"


@pytest.fixture
def anna() -> Staff:
    staff = Staff("anna")
    staff.user.email = "anna@shop.example"
    staff.user.save()
    return staff


@pytest.fixture
def campaign() -> Campaign:
    """A draft for Bert, who has not subscribed, and for Cleo and Dora, who have. Only Dora has a name."""
    shop.customers("bert,bert@example.org,never,2026-01-01", header="customer_id,email,newsletter,first_seen")
    subscribers("cleo")
    subscribers("dora", first_name="Dora")
    for who in ("bert", "cleo", "dora"):
        order(who, NOON)
    buyers = shop.segment("buyers", BUYERS)
    refresh_all(NOON)
    return lifecycle.save_campaign(Campaign(segment=buyers, name="News"), [Step(subject="x", text="y")])


def ask(staff: Staff, campaign: Campaign, *blocks: Any, view: str = "preview", **fields: Any) -> Any:
    """Send a draft, and return what the editor gets."""
    draft = {"channel": "email", "subject": "News", "blocks": json.dumps(blocks) if blocks else ""} | fields
    response = staff.client.post(address(campaign, view), draft)
    assert response.status_code == 200, response.content
    return response.json()


def address(campaign: Campaign, view: str) -> str:
    return reverse(f"admin:campaigns_campaign_message_{view}", args=[campaign.pk])


def failed(answer: Any) -> dict[str, str]:
    return {check["label"]: check["text"] for check in answer["checks"] if not check["is_passed"]}


# -- Preview


def test_a_draft_is_shown_for_somebody_who_would_get_it_and_is_not_stored(anna: Staff, campaign: Campaign):
    answer = ask(anna, campaign, TEXT, subject="News for {{ first_name | default: 'you' }}")

    assert answer["customer"]["id"] == "cleo"
    assert answer["message"]["subject"] == "News for you"
    assert answer["message"]["text"].startswith("Hello there\n")
    assert "<p" in answer["message"]["html"]
    assert answer["source"]["text"] == 'Hello {{ first_name | default: "there" }}'
    assert failed(answer) == {}
    assert campaign.steps.get().text == "y"


def test_the_first_one_shown_lacks_no_value_of_the_message(anna: Staff, campaign: Campaign):
    answer = ask(anna, campaign, {"type": "heading", "content": "{{ first_name }}"})
    assert (answer["customer"]["id"], answer["problems"]) == ("dora", [])

    cleo = Customer.objects.get(customer_id="cleo")
    answer = ask(anna, campaign, {"type": "heading", "content": "{{ first_name }}"}, customer=cleo.pk)
    assert answer["message"] is None
    assert "first_name is missing. Add a fallback" in failed(answer)["Message"]


def test_customers_are_found_by_name_and_proposed_if_they_would_get_it(anna: Staff, campaign: Campaign):
    def found(**query: str) -> list[str]:
        response = anna.client.get(address(campaign, "recipients"), {"channel": "email"} | query)
        return [customer["id"] for customer in response.json()["customers"]]

    assert found() == ["cleo", "dora"]
    assert found(channel="on_site") == ["bert", "cleo", "dora"]
    assert found(q="bert@example.org") == ["bert"]
    assert found(q="nobody") == []


def test_a_block_that_is_not_finished_is_named_and_the_others_are_shown(anna: Staff, campaign: Campaign):
    link = {"type": "button", "content": "x", "url": "javascript:alert(1)"}
    answer = ask(anna, campaign, {"type": "heading", "content": " "}, TEXT, link, {"type": "movie"})

    places = [problem["block"] for problem in answer["problems"]]
    assert places == [0, 2, 3]
    assert answer["problems"][0]["text"] == "Content: it is empty."
    assert "start it with https://" in answer["problems"][1]["text"]
    assert answer["message"]["text"].startswith("Hello there\n")
    for wrong in ("{", "[" * 100_000, '"x"', "[1]", '{"type": "text"}'):
        assert ask(anna, campaign, blocks=wrong)["problems"]


def test_a_preview_shows_the_chosen_pool_and_asks_for_texts_at_their_place(anna: Staff, campaign: Campaign):
    pool = coupon_pool.save_pool(CouponPool(name="gifts", description="10 % off"))
    answer = ask(
        anna, campaign, {"type": "coupon"}, {"type": "heading", "content": "{{ answers.news }}"}, pool=pool.pk
    )
    assert "SAMPLE-CODE (10 % off)" in answer["message"]["text"]
    assert "[news]" in answer["message"]["text"]
    campaign.refresh_from_db()
    assert (campaign.pool, campaign.answers) == (None, {})


def test_a_test_message_goes_to_the_person_who_asks_and_to_nobody_else(anna: Staff, campaign: Campaign):
    said = ask(anna, campaign, TEXT, view="test", to="dora@example.org")

    assert said == {"is_sent": True, "text": "The message was sent to anna@shop.example."}
    [message] = mail.outbox
    assert (message.to, message.subject) == (["anna@shop.example"], "Test: News")
    assert not message.cc + message.bcc
    assert "Hello there" in message.body
    assert "to their own address" in anna.activity()[0][2]

    anna.user.email = ""
    anna.user.save()
    assert "no e-mail address" in ask(anna, campaign, TEXT, view="test")["text"]
    assert "no subject" not in ask(anna, campaign, TEXT, view="test", subject="")["text"]
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(
    ("role", "sees"), [("Viewer", None), ("Marketer", True), ("without contact data", False)]
)
def test_only_staff_who_see_contact_data_see_messages_for_customers(
    campaign: Campaign, role: str, sees: bool | None
):
    user = User.objects.create_user("somebody", is_staff=True, email="x@shop.example")
    if sees is False:
        names = ("view_campaign", "change_campaign", "view_customer")
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
    else:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    draft = {"channel": "email", "subject": "x", "blocks": json.dumps([TEXT])}

    answers = {view: client.post(address(campaign, view), draft) for view in ("preview", "links", "test")}
    found = client.get(address(campaign, "recipients"))
    statuses = [answer.status_code for answer in (*answers.values(), found)]
    if sees is None:
        assert statuses == [403, 403, 403, 403]
    elif sees:
        assert statuses == [200] * 4
    else:
        assert statuses == [200, 200, 403, 403]
        shown = answers["preview"].json()
        assert "may not see contact data" in shown["notice"]
        assert "customer" not in shown
        assert "message" not in shown
        assert answers["links"].json() == {"checks": []}


# -- Checks


def test_each_lack_is_named_with_how_to_mend_it(anna: Staff, campaign: Campaign, settings: Any):
    settings.SHOP_ADDRESS = ""
    assert "no postal address" in failed(ask(anna, campaign, TEXT))["Address"]
    assert failed(ask(anna, campaign, TEXT, subject=" ")).keys() == {"Message", "Address"}
    settings.SHOP_ADDRESS = "1 High Street, Bath"

    assert failed(ask(anna, campaign)) == {"Message": "Write the text of the e-mail."}
    picture = '<img src="https://shop.example/x.png" alt="">'
    assert "only pictures" in failed(ask(anna, campaign, html=picture))["Text part"]
    assert failed(ask(anna, campaign, html=picture, text="A lamp")) == {}

    long = {"type": "text", "content": f"<p>{'灯' * 19_000}</p>"}
    assert failed(ask(anna, campaign, long)) == {}
    assert "Gmail shows only the first 102 KB" in failed(ask(anna, campaign, long, long))["Size"]

    shop.customers("cleo,cleo@example.org,https://evil.example/", header="customer_id,email,page")
    button = {"type": "button", "content": "x", "url": "{{ attributes.page | default: 'x' }}"}
    assert failed(ask(anna, campaign, button))["Links"] == "A link or a picture leads nowhere."
    assert all(check["mend"] for check in ask(anna, campaign, button)["checks"] if not check["is_passed"])
    on_site = ask(anna, campaign, TEXT, channel="on_site")
    assert {check["label"] for check in on_site["checks"]} == set()


@contextmanager
def shop_server(answer: Callable[[str, str], int], pause: float = 0) -> Iterator[tuple[str, list[str]]]:
    """A shop that answers each request with a status; yield its URL and what it is asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.headers['host']}{self.path}")
            time.sleep(pause)
            status = answer(self.command, self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("location", "http://127.0.0.1:9/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def links_to(*urls: str) -> list[dict[str, str]]:
    return [{"type": "button", "content": f"Link {number}", "url": url} for number, url in enumerate(urls)]


def test_pages_that_the_shop_does_not_have_are_named(anna: Staff, campaign: Campaign, settings: Any):
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1")]
    statuses = {"/gone": 404, "/old": 410, "/moved": 302, "/no-head": 200, "/broken": 503}

    def answer(method: str, path: str) -> int:
        return 405 if (method, path) == ("HEAD", "/no-head") else statuses.get(path, 200)

    with shop_server(answer) as (url, asked):
        settings.SHOP_URL = url
        host = url.removeprefix("http://")
        good = links_to("{{ shop.url }}", f"{url}ok?a=1&b=é#part", f"{url}moved", f"{url}no-head")
        elsewhere = links_to("https://other.example/gone", f"http://127.0.0.2:{host.partition(':')[2]}gone")
        answered = ask(anna, campaign, *good, *elsewhere, view="links")
        assert failed(answered) == {}
        assert answered["checks"][0]["text"] == "4 pages of the shop answered."
        expected = {f"HEAD {host}", f"HEAD {host}ok?a=1&b=%C3%A9", f"HEAD {host}moved"}
        assert set(asked) == expected | {f"HEAD {host}no-head", f"GET {host}no-head"}

        checks = ask(anna, campaign, *good, *links_to(f"{url}gone", f"{url}old"), view="links")["checks"]
        assert [check["text"] for check in checks] == [
            f"The shop has no page {url}gone.",
            f"The shop has no page {url}old.",
        ]
        assert all(check["mend"] for check in checks)
        broken = ask(anna, campaign, *links_to(f"{url}broken"), view="links")
        assert failed(broken) == {"Links": f"The shop did not answer for {url}broken."}

        asked.clear()
        many = links_to(*(f"{url}page/{number}" for number in range(40)))
        ask(anna, campaign, *many, view="links")
        assert len(asked) == shop_pages.MAX_PAGES


def test_no_page_at_an_address_that_is_not_public_is_asked_for(
    anna: Staff, campaign: Campaign, settings: Any
):
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    with shop_server(lambda method, path: 200) as (url, asked):
        settings.SHOP_URL = url
        answer = ask(anna, campaign, *links_to("{{ shop.url }}admin"), view="links")
        assert failed(answer) == {"Links": f"The shop did not answer for {url}."}
        settings.SHOP_URL = "https://shop.example/"
        settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1")]
        answer = ask(anna, campaign, *links_to(f"{url}admin"), view="links")
        assert failed(answer) == {"Links": "The shop did not answer for https://shop.example/."}
        assert asked == []


def test_a_slow_shop_does_not_hold_up_the_editor(anna: Staff, campaign: Campaign, settings: Any):
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1")]
    with (
        shop_server(lambda method, path: 200, pause=2) as (url, _),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(shop_pages, "MAX_SECONDS", 0.5)
        settings.SHOP_URL = url
        started = time.monotonic()
        answer = ask(anna, campaign, *links_to(*(f"{url}{n}" for n in range(12))), view="links")
        assert time.monotonic() - started < 10
        assert failed(answer) == {"Links": f"The shop did not answer for {url}."}


def test_the_checks_are_shown_before_a_campaign_starts(anna: Staff, campaign: Campaign, settings: Any):
    settings.SHOP_ADDRESS = ""
    steps = [
        Step(subject="One", blocks=[TEXT]),
        Step(subject="Two", blocks=[{"type": "heading", "content": "{{ answers.news }}"}]),
    ]
    lifecycle.save_campaign(campaign, steps)
    checks = reverse("admin:campaigns_campaign_checks", args=[campaign.pk])
    for view in ("change", "start"):
        page = anna.client.get(reverse(f"admin:campaigns_campaign_{view}", args=[campaign.pk]))
        assert f'hx-get="{checks}"' in page.content.decode()

    part = anna.client.get(checks, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert part.count("no postal address") == 2
    assert "Enter the address of the shop in its settings." in part
    whole = anna.client.get(checks).content.decode()
    assert "<html" in whole
    assert whole.count("no postal address") == 2
    campaign.refresh_from_db()
    assert campaign.answers == {}
