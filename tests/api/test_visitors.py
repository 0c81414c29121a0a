"""The public segments of a visitor, which the shop's pages request while they load."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from core.api import keys
from customers.facts import update
from customers.models import Customer
from segments import segment_store
from segments.evaluation import live
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.shop import NOON

from .test_errors import problem

pytestmark = pytest.mark.django_db

PAGE = "https://shop.example"
ANONYMOUS, BUYERS, CART = (
    {"known": {"is": False}},
    {"order_count": {"at_least": 1}},
    {"open_cart": {"within_last": "7d"}},
)

Ask = Callable[..., Any]


def address(visitor: str) -> str:
    return f"/api/v1/visitors/{quote(visitor, safe='')}/segments/"


@pytest.fixture
def key() -> str:
    return shop.command("create_key", "Web shop", "--visitors").split()[-1]


@pytest.fixture
def ask(key: str, client: Client) -> Ask:
    """Send the request of a page. Return the slugs."""

    def asked(visitor: str) -> list[str]:
        response = client.get(address(visitor), {"key": key})
        assert response.status_code == 200, response.content
        told = response.json()
        assert list(told) == ["segments"]
        return told["segments"]

    return asked


@pytest.mark.parametrize("visitor", ["a/b", "line\nbreak", "line\u2028break", "ü 100 %", "a?b#c"])
def test_any_id_is_accepted(visitor: str, ask: Ask) -> None:
    public("visitors", ANONYMOUS)
    shop.events(f'm1,,"{visitor}",Product Viewed,2026-03-01T10:00:00Z')

    assert ask(visitor) == ["visitors"]


def public(slug: str, rule: dict[str, Any]) -> Segment:
    return segment_store.save_segment(Segment(slug=slug, name=slug.title(), rule=rule, is_public=True))


@pytest.fixture
def visitors() -> None:
    """A visitor with a cart, a buyer, and segments of which some are public."""
    now = datetime.now(UTC).isoformat()
    shop.events(f"m1,,a1,Product Added,{now}", f"m2,c1,a2,Signed In,{now}")
    shop.orders("o1,c1,2026-03-01,10")
    for slug, rule in (("anonymous", ANONYMOUS), ("buyers", BUYERS), ("cart", CART)):
        public(slug, rule)
    shop.segment("secret", ANONYMOUS)


# -- Who is in what


def test_only_public_segments_are_returned(ask: Ask, visitors: None) -> None:
    assert ask("a1") == ["anonymous", "cart"]
    assert ask("a2") == ["anonymous", "buyers"]  # the customer they turned out to be
    assert ask("nobody") == []


def test_events_count_immediately(ask: Ask, visitors: None) -> None:
    assert ask("a1") == ["anonymous", "cart"]

    shop.orders("o2,c2,2026-03-01,10", update_facts=False)
    shop.events(f"m3,c2,a1,Signed In,{datetime.now(UTC).isoformat()}", update_facts=False)
    assert ask("a1") == ["anonymous", "buyers", "cart"]
    update.update_facts()
    assert ask("a1") == ["anonymous", "buyers", "cart"]


def test_changes_by_staff_count_immediately(ask: Ask, visitors: None, admin_client: Client) -> None:
    assert ask("a1") == ["anonymous", "cart"]
    segments = {segment.slug: segment for segment in Segment.objects.all()}

    segments["cart"].rule = BUYERS
    segment_store.save_segment(segments["cart"])
    assert ask("a1") == ["anonymous"]
    segment_store.restore_version(segments["cart"].versions.get(number=1))
    assert ask("a1") == ["anonymous", "cart"]
    segment_store.delete_segments([segments["anonymous"]])
    assert ask("a1") == ["cart"]

    fields = {"name": "Secret", "slug": "secret", "rule": '{"known": {"is": false}}', "is_active": "on"}
    form = reverse("admin:segments_segment_rule", args=[segments["secret"].pk])
    admin_client.post(form, fields | {"is_public": "on"})
    assert ask("a1") == ["cart", "secret"]
    admin_client.post(form, fields)
    assert ask("a1") == ["cart"]

    Segment.objects.update(is_active=False)
    assert ask("a1") == []


def test_public_fixed_lists_are_returned(ask: Ask, visitors: None) -> None:
    customer = Customer.objects.get(customer_id="c1")
    for slug in ("vips", "debtors"):
        listed = segment_store.create_fixed_list(slug, slug, [customer.pk], datetime.now(UTC))
        listed.is_public = slug == "vips"
        segment_store.save_fixed_list(listed)

    assert ask("a2") == ["anonymous", "buyers", "vips"]
    assert ask("a1") == ["anonymous", "cart"]
    Segment.objects.exclude(slug="vips").update(is_public=False)
    assert (ask("a2"), ask("a1")) == (["vips"], [])


def test_segments_with_population_statistics_are_evaluated_live(ask: Ask) -> None:
    with time_machine.travel(NOON, tick=False):
        shop.customers("c1,c1@example.org", "c2,")
        shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-10,40", "o3,c2,2026-03-01,10")
        shop.events("m1,c1,a1,Seen,2026-03-14", "m2,c2,a2,Seen,2026-03-14", "m3,,a3,Product Added,2026-03-14")
        segment_store.install_templates()
        Segment.objects.update(is_public=True)

        def compare() -> None:
            for visitor, who in (("a1", "c1"), ("a2", "c2"), ("a3", "anonymous:a3")):
                expected = live.matching_segments(Customer.objects.get(customer_id=who).pk, NOON)
                assert ask(visitor) == sorted(expected) != []

        compare()
        assert "brand-lovers" in ask("a1")
        refresh_all(NOON)
        compare()
        shop.orders("o4,c2,2026-03-11,900")
        refresh_all(NOON)
        compare()
        assert "brand-lovers" not in ask("a1")


@pytest.mark.parametrize(
    "odd", ["a/b?c=d&e", "100% 'ja'; --", "anonymous:twice", "☕ö", "c1", "..", "x" * 240]
)
def test_ids_are_decoded_and_normalized(odd: str, ask: Ask) -> None:
    public("anonymous", ANONYMOUS)
    assert ask(odd) == []

    shop.import_rows("events", ["m1", "", odd, "Seen", "2026-03-01T10:00Z"],
                     header="message_id,customer_id,anonymous_id,event,occurred_at")  # fmt: skip

    assert ask(odd) == ["anonymous"]
    assert ask(f"anonymous:{odd}") == []


def test_an_impossible_id_belongs_to_nobody(ask: Ask, visitors: None) -> None:
    assert ask("a\x001") == ask("a" * 3000) == []


# -- What it reveals


def test_ids_of_customers_reveal_nothing(ask: Ask, visitors: None) -> None:
    shop.customers("c1,anna@example.org")

    for other in ("c1", "anna@example.org", "1", "-1"):
        assert ask(other) == []


def test_an_unknown_visitor_gets_the_same_response_as_one_in_no_segment(
    key: str, visitors: None, client: Client, django_assert_num_queries
) -> None:
    Segment.objects.exclude(slug="buyers").update(is_public=False)
    answers = []
    client.get(address("a1"), {"key": key})

    for visitor in ("a1", "nobody", "a\x001"):
        # The same statements for both: that is what takes the time.
        with django_assert_num_queries(3):
            answers.append(client.get(address(visitor), {"key": key}))

    assert len({(one.status_code, one.content, tuple(sorted(one.headers.items()))) for one in answers}) == 1
    assert "no-store" in answers[0]["Cache-Control"]


def test_without_public_segments_two_queries_suffice(
    ask: Ask, client: Client, key: str, django_assert_num_queries
) -> None:
    ask("a1")
    with django_assert_num_queries(2):
        assert ask("a1") == []


# -- Who may ask


def test_a_key_is_accepted_in_the_header_or_in_the_url(key: str, visitors: None, client: Client) -> None:
    assert key.startswith("pub_")
    by_header = client.get(address("a1"), headers={"Authorization": f"Bearer {key}"})
    by_address = client.get(address("a1"), {"key": key})

    assert by_header.json() == by_address.json() == {"segments": ["anonymous", "cart"]}
    for wrong in ("", "pub_wrong", key[:-1], f"{key} "):
        problem(client.get(address("a1"), {"key": wrong}), 401)
    problem(client.get(address("a1")), 401)


def test_no_other_kind_of_key_is_accepted_in_the_url(client: Client) -> None:
    _, secret = keys.create_key("bot", ["segments:read", "members:read"])

    told = problem(client.get(address("a1"), {"key": secret}), 401)
    assert "pub_" in told["message"]
    assert told == problem(client.get(address("a1"), {"key": "seg_wrong"}), 401)
    assert problem(client.get(address("a1"), headers={"Authorization": f"Bearer {secret}"}), 403)["code"] == (
        "missing_scope"
    )
    for elsewhere in ("segments/", "customers/"):
        problem(client.get(f"/api/v1/{elsewhere}", {"key": secret}), 401)


def test_staff_who_may_see_members_get_the_segments(client: Client, visitors: None) -> None:
    anna = User.objects.create_user("anna", is_staff=True)
    client.force_login(anna)
    problem(client.get(address("a1")), 403)

    anna.user_permissions.add(*Permission.objects.filter(codename__in=["view_membership", "view_customer"]))
    assert client.get(address("a1")).status_code == 200


# -- From which pages


def test_only_scripts_of_the_shops_pages_may_read_the_response(key: str, client: Client, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [PAGE]

    def allowed(path: str, origin: str = PAGE, **query: str) -> str | None:
        response = client.get(path, query, headers={"Origin": origin})
        assert "Access-Control-Allow-Credentials" not in response
        return response.headers.get("Access-Control-Allow-Origin")

    assert allowed(address("a1"), key=key) == PAGE
    assert allowed(address("a1")) == PAGE  # a page may read what is wrong
    for other in ("https://evil.example", "http://shop.example", "null", f"{PAGE}.evil.example"):
        assert allowed(address("a1"), other, key=key) is None
    for elsewhere in (
        "/api/v1/segments/",
        "/api/v1/customers/",
        "/admin/",
        "/api/v1/visitors",
        "/api/schema/",
    ):
        assert allowed(elsewhere) is None


def test_a_key_in_the_header_needs_a_preflight_request(client: Client, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [PAGE]
    wish = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}

    answer = client.options(address("a1"), headers=wish | {"Origin": PAGE})

    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == PAGE
    assert "authorization" in answer["Access-Control-Allow-Headers"]
    assert answer["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    other = client.options(address("a1"), headers=wish | {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other
