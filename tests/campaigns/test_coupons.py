"""Coupon codes: added to a pool, given once, redeemed by orders, and returned by the API."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import close_old_connections, connection
from django.test import Client
from django.urls import reverse

from campaigns import tasks
from campaigns.coupons import coupon_pool, pool_codes, redemption
from campaigns.coupons.coupon_pool import NoCodeAvailable
from campaigns.coupons.pool_codes import AddedCodes
from campaigns.models import Campaign, Coupon, CouponPool
from core.api import keys
from customers.identity import lookup
from customers.models import Customer
from customers.privacy import personal_data
from tests.support import shop

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def pool() -> CouponPool:
    return coupon_pool.save_pool(CouponPool(name="First order", description="10 % off"))


def campaign(pool: CouponPool | None, name: str = "Hello") -> Campaign:
    known = shop.segment(name.lower(), {"known": {"is": True}})
    return Campaign.objects.create(name=name, segment=known, pool=pool)


def customer(printed: str) -> Customer:
    found = lookup.find_customer(printed)
    assert found
    return found


def counts(pool: CouponPool) -> tuple[int, int, int, int]:
    counted = coupon_pool.with_counts(CouponPool.objects.filter(pk=pool.pk))
    found: Any = counted.get()
    return found.total, found.free, found.given, found.redeemed


# -- Filling


def test_a_code_is_added_once_in_any_spelling(pool: CouponPool) -> None:
    assert pool_codes.add_codes(pool, ["SPRING-1", "ÄPFEL", "spring-1"]) == AddedCodes(2, 1, 0)
    assert pool_codes.add_codes(pool, ["äpfel", "X/Y", "a b", "", "N" * 101, "..", "NEW"]) == AddedCodes(
        1,
        1,
        5,
        (
            "'X/Y': a code cannot contain spaces or slashes.",
            "'a b': a code cannot contain spaces or slashes.",
            "'' must have 1 to 100 characters.",
            f"'{'N' * 40}' must have 1 to 100 characters.",
            "'..': a code cannot contain spaces or slashes.",
        ),
    )
    assert counts(pool) == (3, 3, 0, 0)


@pytest.mark.parametrize(
    ("file", "codes"),
    [
        ("A1\nA2\n", ["A1", "A2"]),
        ("code\r\nA1\r\n\r\nA2", ["A1", "A2"]),
        ('Name;Discount Code\n"10;5";A1\nx;A2\n', ["A1", "A2"]),
        ("A1,used\nA2,new\n", ["A1", "A2"]),
    ],
    ids=["one a line", "with a heading", "in a named column", "in the first column"],
)
def test_codes_are_read_from_the_files_of_shops(file: str, codes: list[str]) -> None:
    assert list(pool_codes.read_code_file(file)) == codes


def test_generated_codes_have_the_requested_form(pool: CouponPool) -> None:
    assert pool_codes.generate_codes(pool, 250, 8, Random(1), prefix="HI-") == 250
    assert (
        pool_codes.generate_codes(pool, 250, 8, Random(1), prefix="HI-") == 250
    )  # the same again are made anew

    made = list(pool.coupons.values_list("code", flat=True))
    assert len(set(made)) == 500
    assert all(code.startswith("HI-") and set(code[3:]) <= set(pool_codes.CODE_ALPHABET) for code in made)
    for count, length, prefix in ((0, 8, ""), (10**6, 8, ""), (1, 7, ""), (1, 33, ""), (1, 8, "a b")):
        with pytest.raises(ValueError, match=r"characters|codes at once|cannot contain spaces"):
            pool_codes.generate_codes(pool, count, length, Random(1), prefix)


# -- Giving


def test_a_customer_keeps_one_code_of_a_campaign(pool: CouponPool) -> None:
    shop.customers("c1,a@example.com", "c2,b@example.com")
    pool_codes.add_codes(pool, ["A1", "A2", "A3"])
    hello, again = campaign(pool), campaign(pool, "Again")

    given = [coupon_pool.assign_code(hello, customer("c1"), NOW) for _ in range(3)]
    assert given == ["A1"] * 3
    assert coupon_pool.assign_code(again, customer("c1"), NOW) == "A2"
    assert coupon_pool.assign_code(hello, customer("c2"), NOW) == "A3"
    with pytest.raises(NoCodeAvailable, match="Import or generate more"):
        coupon_pool.assign_code(again, customer("c2"), NOW)
    with pytest.raises(NoCodeAvailable, match="no pool"):
        coupon_pool.assign_code(campaign(None, "Without"), customer("c1"), NOW)

    personal_data.erase_customer(customer("c1"), NOW)
    assert counts(pool) == (3, 0, 3, 0)
    with pytest.raises(NoCodeAvailable):
        coupon_pool.assign_code(again, customer("c2"), NOW)


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_give_no_code_twice(pool: CouponPool) -> None:
    people = 12
    shop.customers(*(f"c{n},c{n}@example.com" for n in range(people)))
    pool_codes.add_codes(pool, [f"A{n}" for n in range(people)])
    hello = campaign(pool)
    # Each customer twice, as a message that is sent again after a kill would ask.
    asked = [customer(f"c{n % people}") for n in range(2 * people)]

    def give(one: Customer) -> tuple[int, str]:
        try:
            return one.pk, coupon_pool.assign_code(hello, one, NOW)
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        given = list(threads.map(give, asked))

    assert len(set(given)) == people  # both of a customer are the same one
    assert set(Counter(code for _, code in set(given)).values()) == {1}
    assert counts(pool) == (people, 0, people, 0)


# -- Redemption


def order(number: int, code: str, status: str = "paid", day: str = "2026-03-14") -> None:
    header = "order_id,customer_id,placed_at,total,status,coupon_code"
    shop.orders(f"o{number},c1,{day}T10:00:00Z,50,{status},{code}", header=header)


def test_codes_are_redeemed_by_orders_until_these_are_cancelled(pool: CouponPool) -> None:
    shop.customers("c1,a@example.com")
    pool_codes.add_codes(pool, ["A1", "A2", "A3", "A4"])
    assert coupon_pool.assign_code(campaign(pool), customer("c1"), NOW) == "A1"
    order(1, "a1")
    order(2, "A1", day="2026-03-13")
    order(3, "A2", "cancelled")
    order(4, "a3", day="2026-01-01")
    order(5, "unknown")

    assert redemption.mark_redeemed(NOW - timedelta(days=3), NOW) == 1
    assert Coupon.objects.get(code="A1").redeemed_at == datetime(2026, 3, 13, 10, tzinfo=UTC)
    assert redemption.mark_redeemed(NOW - timedelta(days=3), NOW) == 0
    assert redemption.mark_redeemed(None, NOW) == 1  # of January, and given to nobody
    assert counts(pool) == (4, 2, 1, 2)
    given = coupon_pool.assign_code(campaign(pool, "Again"), customer("c1"), NOW)
    assert given == "A2"  # A3 was used before anybody had it; who had cancelled A2 has not used it
    order(4, "a3", "cancelled", day="2026-01-01")
    assert redemption.mark_redeemed(None, NOW) == 0
    assert Coupon.objects.get(code="A3").redeemed_at is None
    tasks.mark_all_redeemed_coupons()
    tasks.mark_redeemed_coupons()
    assert counts(pool) == (4, 2, 2, 1)


# -- The API


def test_the_api_returns_the_customer_of_a_code(pool: CouponPool, client: Client) -> None:
    shop.events("m1,,browser,Seen,2026-03-01T10:00:00Z")
    pool_codes.add_codes(pool, ["Ä 1".replace(" ", "%"), "A2"])
    coupon_pool.assign_code(campaign(pool), customer("browser"), NOW)
    # The visitor turns out to be somebody.
    shop.events("m2,c1,browser,Seen,2026-03-01T11:00:00Z")

    def ask(code: str, *scopes: str) -> Any:
        _, secret = keys.create_key("checkout", scopes or ["members:read"])
        address = reverse("api-coupon", args=[code])
        return client.get(address, headers={"Authorization": f"Bearer {secret}"})

    assert ask("ä%1").json() == {
        "code": "Ä%1",
        "pool": "First order",
        "last_day": None,
        "description": "10 % off",
        "customer_id": "c1",
        "campaign": "Hello",
        "given_at": "2026-03-15T12:00:00Z",
        "redeemed_at": None,
    }
    free = ask("A2").json()
    assert (free["customer_id"], free["campaign"], free["given_at"]) == (None, None, None)
    for unknown in ("A3", "A3\x00", "A" * 5000):
        missing = ask(unknown)
        assert missing.status_code == 404
        assert missing.json() == {
            "code": "not_found", "message": f"There is no coupon {unknown}.", "errors": []
        }  # fmt: skip
    assert ask("A2", "segments:read").json()["code"] == "missing_scope"
    assert client.get(reverse("api-coupon", args=["A2"])).status_code == 401


# -- The admin


@pytest.fixture
def enter() -> Callable[..., Client]:
    """A logged-in member of staff with these permissions."""

    def with_permissions(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff-{len(permissions)}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return with_permissions


KEEPING = ("view_couponpool", "add_couponpool", "change_couponpool", "delete_couponpool", "view_coupon")


def said(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


@pytest.fixture
def post(enter: Callable[..., Client]) -> Callable[..., Any]:
    client = enter(*KEEPING)

    def send(view: str, *args: Any, **sent: Any) -> Any:
        response = client.post(reverse(f"admin:campaigns_couponpool_{view}", args=args), sent, follow=True)
        assert response.status_code == 200
        return response

    return send


def test_staff_create_fill_and_delete_a_pool(post: Callable[..., Any], enter: Callable[..., Client]) -> None:
    post("add", name="Spring", description="5 € off")
    pool = CouponPool.objects.get(name="Spring")
    file = SimpleUploadedFile("codes.csv", b"\xef\xbb\xbfcode\nA1\nA2\na1\nA 3\n")

    assert "2 codes were added, 1 existed already, 1 is invalid" in said(
        post("fill", pool.pk, how="import", file=file)
    )
    assert "3 codes were added" in said(post("fill", pool.pk, how="import", codes="B1\nB2, B3"))
    assert "40 codes were created" in said(
        post("fill", pool.pk, how="generate", count=40, length=10, code_prefix="HI-")
    )
    shop.customers("c1,a@example.com")
    coupon_pool.assign_code(campaign(pool), customer("c1"), NOW)
    listed = enter("view_couponpool").get(reverse("admin:campaigns_couponpool_changelist")).content.decode()
    assert ">45<" in listed.replace(" ", "").replace("\n", "")  # of them 44 are free
    assert ">44<" in listed.replace(" ", "").replace("\n", "")

    refused = post("fill", pool.pk, how="generate", count=40, length=3)
    assert "greater than or equal to 8" in refused.content.decode()
    assert "not text in UTF-8" in post(
        "fill", pool.pk, how="import", file=SimpleUploadedFile("x.csv", b"\xff\xfe")
    ).content.decode()  # fmt: skip
    assert "Choose a file" in post("fill", pool.pk, how="import").content.decode()

    assert "is used by a campaign" in said(post("discard", pool.pk))
    Campaign.objects.update(pool=None)
    assert "customers have" in said(post("discard", pool.pk))
    assert counts(pool) == (45, 44, 1, 0)
    assert "44 free codes were removed" in said(post("empty", pool.pk))
    Coupon.objects.all().delete()
    post("discard", pool.pk)
    assert not CouponPool.objects.exists()


def test_only_staff_who_may_see_codes_download_them(pool: CouponPool, enter: Callable[..., Client]) -> None:
    pool_codes.add_codes(pool, ["=A1", "A2"])
    shop.customers("c1,a@example.com")
    coupon_pool.assign_code(campaign(pool), customer("c1"), NOW)
    address = reverse("admin:campaigns_couponpool_codes", args=[pool.pk])

    rows = list(csv.reader(io.StringIO(b"".join(enter(*KEEPING).get(address)).decode())))

    assert rows == [
        ["code", "given_at", "redeemed_at"],
        ["'=A1", "2026-03-15T12:00:00+00:00", ""],
        ["A2", "", ""],
    ]
    viewer = enter("view_couponpool")
    assert viewer.get(address).status_code == 403
    for view in ("fill", "empty", "discard"):
        assert viewer.post(reverse(f"admin:campaigns_couponpool_{view}", args=[pool.pk])).status_code == 403
