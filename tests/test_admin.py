"""What staff see and do in the admin, through its addresses."""

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from campaigns.models import CouponPool
from core.api import keys
from customers.facts import update
from customers.ingestion import line_writer, writer
from customers.models import Customer
from customers.rows.kinds import KINDS
from customers.rows.settings import shop_settings
from segments import fixed_lists, segment_store
from segments.admin import refresh_requests
from segments.models import Membership, Refresh, Segment, Verification
from segments.refresh import verification
from segments.refresh.engine import refresh_all, refresh_segments
from segments.templates import TEMPLATES
from segments_project.celery import app

from .support import admin_pages, furnished_shop, tracking_messages

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
KNOWN = {"known": {"is": True}}


def take(kind: str, *rows: dict[str, str]) -> None:
    """Let the shop tell something, as a CSV file would."""
    read = KINDS[kind].read
    shop = shop_settings()
    outcome = writer.ingest(KINDS[kind], enumerate((read(row, shop) for row in rows), start=1))
    assert not outcome.rejected
    update.update_facts()


@pytest.fixture
def admin_user(db: None) -> User:
    """Somebody who may do everything; without a password, whose hashing takes longer than any page."""
    return User.objects.create_superuser("admin")


@pytest.fixture
def admin_client(admin_user: User) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def shop() -> None:
    """Two customers with a past, and a visitor."""
    day_ago = (NOW - timedelta(days=1)).isoformat()
    take(
        "customers",
        {
            "customer_id": "c1",
            "email": "Anna@example.org",
            "first_name": "Anna",
            "last_name": "Müller",
            "tier": "gold",
        },
        {"customer_id": "c2", "phone": "+49 30 123456", "last_name": "Öztürk"},
    )
    line_writer.start_line_numbering()
    take(
        "orders",
        *(
            {
                "order_id": f"o{n}",
                "customer_id": "c1",
                "placed_at": (NOW - timedelta(hours=40 - n)).isoformat(),
                "total": "12.50",
                "coupon_code": "SPRING",
            }
            for n in range(30)
        ),
    )
    take(
        "order_lines",
        {"order_id": "o29", "sku": "s1", "name": "A lamp", "quantity": "2", "unit_price": "6.25"},
    )
    take(
        "events",
        *(
            {
                "message_id": f"m{n}", "customer_id": "c1", "event": "Product Viewed", "occurred_at": day_ago,
                "properties": json.dumps({"sku": "s1", "price": n}),
            }
            for n in range(30)
        ),
        {"message_id": "v", "anonymous_id": "browser", "event": "Seen", "occurred_at": day_ago, "properties": "{}"},
    )  # fmt: skip


@pytest.fixture
def anna(shop: None) -> Customer:
    return Customer.objects.get(customer_id="c1")


def make(slug: str, rule: Any) -> Segment:
    return segment_store.save_segment(Segment(slug=slug, name=slug.title(), rule=rule))


@pytest.fixture
def known(shop: None) -> Segment:
    """A refreshed segment of two members."""
    segment = make("known", KNOWN)
    refresh_segments([segment], datetime.now(UTC))
    segment.refresh_from_db()
    return segment


@pytest.fixture
def friends(shop: None) -> Segment:
    """A fixed list with one on it."""
    keys, _ = segment_store.find_customers(["c1"])
    return segment_store.create_fixed_list("friends", "Friends", keys, datetime.now(UTC))


@pytest.fixture
def staff() -> Callable[..., Client]:
    """Somebody of the staff with some permissions, logged in."""

    def enter(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff-{len(permissions)}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return enter


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)


def said(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


# -- Every page


PARTS = (
    admin_pages.Page("segments_segment_members_csv", admin_pages.by_rule),
    admin_pages.Page("segments_segment_revenue", admin_pages.by_rule),
    admin_pages.Page("segments_segment_overlap", admin_pages.by_rule),
    admin_pages.Page("campaigns_couponpool_codes", CouponPool.objects.all),
    admin_pages.Page("customers_customer_timeline", admin_pages.buyers),
)
EVERYTHING = {page.view: page for page in (*admin_pages.PAGES, *PARTS)}


SIDEBAR: Any = settings.UNFOLD["SIDEBAR"]
MENU: dict[str, str] = {
    str(entry["link"]): entry["title"] for group in SIDEBAR["navigation"] for entry in group["items"]
}
MENU["/admin/campaigns/campaign/segment/"] = "Segments"  # pages that campaigns add to those of a segment


def breadcrumbs(content: str) -> list[str]:
    [head] = re.findall("<h1.*?</h1>", content, re.DOTALL)
    steps = re.findall(r"<(?:a|span)[^>]* truncate[^>]*>(.*?)</", head, re.DOTALL)
    return [html.unescape(step.strip()) for step in steps]


@pytest.fixture
def furnished(known: Segment, friends: Segment, admin_user: User) -> None:
    """A shop that has something to show on every page."""
    keys.create_key("Shop", ["segments:read"])
    verification.verify_all(NOW)
    _, key = tracking_messages.source()
    tracking_messages.send(
        key, {"type": "dance"}, *(tracking_messages.identify(one, email="x@y.org") for one in ("c1", "c2"))
    )
    client = Client()
    client.force_login(admin_user)
    client.post(page("segments_segment_refresh", known.pk))
    furnished_shop.send_a_webhook(client, friends)
    furnished_shop.import_a_file(client)
    furnished_shop.make_coupons()
    furnished_shop.run_campaigns(client, friends)
    app.control.purge()


def test_every_page_opens_in_few_queries_and_has_the_title_of_its_menu_entry(
    furnished, admin_client, django_assert_max_num_queries, subtests
):
    for view, one in EVERYTHING.items():
        with subtests.test(view):
            address = one.address
            with django_assert_max_num_queries(admin_pages.MOST_QUERIES):
                response = admin_client.get(address)
                content = b"".join(response)
            assert response.status_code == 200
            assert not re.search(rb"""(src|href|action)=["'](https?:)?//""", content)
            entries = [entry for entry in MENU if address.startswith(entry)]
            if entries and view not in (part.view for part in PARTS):
                assert MENU[max(entries, key=len)] in breadcrumbs(content.decode())


def test_no_page_opens_without_permission(furnished, staff, subtests):
    client = staff()
    for view in EVERYTHING.keys() - {"index", "password_change"}:
        with subtests.test(view):
            assert client.get(EVERYTHING[view].address).status_code == 403


def test_the_home_page_says_if_staff_have_no_permissions(staff):
    assert "permission" in staff().get(page("index")).content.decode()


def test_every_page_requires_a_login(furnished, client, subtests):
    for view, one in EVERYTHING.items():
        with subtests.test(view):
            response = client.get(one.address)
            assert response.status_code == 302
            assert "/login/" in response["Location"]


def test_lists_need_no_more_queries_with_more_rows(
    known, admin_client, django_assert_num_queries, django_assert_max_num_queries
):
    for _ in range(3):
        refresh_segments([known], datetime.now(UTC))
    take("customers", *({"customer_id": f"more-{n}", "email": f"{n}@example.org"} for n in range(120)))
    for name in (
        "customers_customer_changelist",
        "segments_refresh_changelist",
        "segments_segment_changelist",
    ):
        with django_assert_max_num_queries(10):
            admin_client.get(page(name))


# -- Customers


@pytest.mark.parametrize(
    ("term", "found"),
    [("c1", {"c1"}), ("c", {"c1", "c2"}), ("ANNA@exam", {"c1"}), ("+49 30", {"c2"}), ("0049-30/123", {"c2"}),
     ("mül", {"c1"}), ("ÖZ", {"c2"}),
     ("anna mü", {"c1"}), ("browser", {"anonymous:browser"}), ("nobody", set()), ("%", set()), ("_", set())],
)  # fmt: skip
def test_customers_are_found_by_the_start_of_their_profile_data(term, found, shop, admin_client):
    response = admin_client.get(page("customers_customer_changelist"), {"q": term})
    assert {customer.customer_id for customer in response.context["cl"].result_list} == found


def test_customers_are_filtered_by_being_known(shop, admin_client):
    def listed(known):
        response = admin_client.get(page("customers_customer_changelist"), {"known": known})
        return {customer.customer_id for customer in response.context["cl"].result_list}

    assert listed("yes") == {"c1", "c2"}
    assert listed("no") == {"anonymous:browser"}


def test_a_customers_page_shows_facts_and_records(anna, known, admin_client):
    response = admin_client.get(page("customers_customer_change", anna.pk))
    content = response.content.decode()
    for words in ("375.00 EUR", "Anna Müller", "gold", "Known", "2 × A lamp", "SPRING", "In now"):
        assert words in content


def test_the_page_of_a_merged_visitor_redirects_to_the_customer(anna, admin_client):
    visitor = Customer.objects.get(customer_id="anonymous:browser")
    take("events", {"message_id": "j", "customer_id": "c1", "anonymous_id": "browser", "event": "Login",
                    "occurred_at": NOW.isoformat(), "properties": "{}"})  # fmt: skip
    response = admin_client.get(page("customers_customer_change", visitor.pk))
    assert response["Location"] == page("customers_customer_change", anna.pk)
    listed = (
        admin_client.get(page("customers_customer_changelist"), {"q": "browser"}).context["cl"].result_list
    )
    assert list(listed) == [anna]


def test_customers_cannot_be_added_changed_or_deleted(anna, admin_client):
    assert admin_client.get(page("customers_customer_add")).status_code == 403
    assert (
        admin_client.post(page("customers_customer_change", anna.pk), {"customer_id": "x"}).status_code == 403
    )
    assert admin_client.get(page("customers_customer_delete", anna.pk)).status_code == 403


def test_an_explanation_shows_the_answer_and_value_of_each_condition(anna, admin_client):
    make("rich", {"all": [KNOWN, {"total_spent": {"at_least": 500}}]})
    response = admin_client.get(page("customers_customer_explain", anna.pk), {"segment": "rich"})
    content = " ".join(response.content.decode().split())
    assert "Not a member" in content
    assert "missing: spent at least 500" in content
    assert content.count("✓") == 1
    assert content.count("✗") == 2
    assert "spent at least 500.00 EUR" in content
    assert ": 375.00 EUR" in content


def test_an_explanation_names_other_segments_as_staff_do(anna, admin_client):
    rich = make("rich", {"total_spent": {"at_least": 100}})
    Segment.objects.filter(pk=rich.pk).update(name="Big spenders")
    make("loyal", {"all": [KNOWN, {"none": [{"in_segment": {"is": "rich"}}]}]})
    refresh_segments(None)

    response = admin_client.get(page("customers_customer_explain", anna.pk), {"segment": "loyal"})

    assert "is in the segment “Big spenders”" in response.content.decode()


def test_staff_who_may_not_see_segments_see_customers_without_them(anna, known, staff):
    client = staff("view_customer", "view_contact_data")
    content = client.get(page("customers_customer_change", anna.pk)).content.decode()
    assert "Anna Müller" in content
    assert "Why the customer is in or out" not in content
    assert client.get(page("customers_customer_explain", anna.pk)).status_code == 403


def test_an_empty_shop_says_what_to_do_first(admin_client):
    assert "Import a file" in admin_client.get(page("customers_customer_changelist")).content.decode()
    index = admin_client.get(page("index")).content.decode()
    assert "First steps" in index
    assert "Install the segments" in index
    assert "sixteen" in admin_client.get(page("segments_segment_changelist")).content.decode()


# -- Writing segments


def send(client: Client, rule: Any, segment: Segment | None = None, **fields: str) -> Any:
    text = rule if isinstance(rule, str) else json.dumps(rule)
    data = {"name": "Mine", "slug": "mine", "description": "", "rule": text, "is_active": "on"} | fields
    address = page("segments_segment_change", segment.pk) if segment else page("segments_segment_add")
    return client.post(address, data, follow=True)


def test_a_rule_is_saved_and_edited(admin_client):
    send(admin_client, KNOWN)
    segment = Segment.objects.get(slug="mine")
    assert (segment.rule, segment.version) == (KNOWN, 1)

    send(admin_client, {"known": {"is": False}}, segment, name="Yours")
    segment.refresh_from_db()
    assert (segment.name, segment.rule, segment.version) == ("Yours", {"known": {"is": False}}, 2)
    send(admin_client, json.dumps(segment.rule, indent=7), segment, name="Yours")
    segment.refresh_from_db()
    assert segment.version == 2


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"any": [{"order_count": {"at_least": "two"}}]}, "rule.any[0].order_count.at_least: "),
        ({"al": []}, "rule.al: is not a known filter or group"),
        ({"in_segment": {"is": "ghost"}}, "there is no segment"),
        ({"in_segment": {"is": "mine"}}, "in a circle"),
        ({"city": {"is": "a\x00b"}}, "NUL"),
        ({"city": {"is": "\ud800"}}, "rule.city.is: "),
        ("{", "is not JSON"),
        ("NaN", "rule: "),
        ("[" * 1000 + "]" * 1000, "rule: "),
        ('{"all": [' * 1000 + "]}" * 1000, "nested too deeply"),
        ('{"none":[' * 30_000, "nested too deeply"),
        ("", "required"),
    ],
)
def test_an_invalid_rule_is_rejected_with_its_path(rule, problem, admin_client):
    response = send(admin_client, rule)
    assert response.status_code == 200
    [error] = response.context["adminform"].form.errors["rule"]
    assert problem in error
    assert not Segment.objects.exists()


def test_a_slug_that_is_taken_or_invalid_is_rejected(known, admin_client):
    for slug in ("known", "two words", "a" * 101):
        assert "slug" in send(admin_client, KNOWN, slug=slug).context["adminform"].form.errors


def test_a_slug_that_others_refer_to_cannot_be_changed(known, admin_client):
    make("inner", {"in_segment": {"is": "known"}})
    response = send(admin_client, KNOWN, known)
    assert "inner" in response.context["adminform"].form.errors["slug"][0]
    known.refresh_from_db()
    assert known.slug == "known"


def test_a_stored_rule_that_cannot_be_read_does_not_break_the_pages(known, admin_client):
    Segment.objects.filter(pk=known.pk).update(rule={"gone": {}})  # a filter of another version
    for name in ("segments_segment_changelist", "index"):
        assert admin_client.get(page(name)).status_code == 200
    content = admin_client.get(page("segments_segment_change", known.pk)).content.decode()
    assert "The rule is invalid: rule.gone" in content


def test_staff_who_may_only_see_segments_cannot_change_them(known, friends, staff):
    client = staff("view_segment", "view_customer")
    assert client.get(page("segments_segment_change", known.pk)).status_code == 200
    assert client.get(page("segments_segment_members", known.pk)).status_code == 200
    for name in ("refresh", "freeze", "delete"):
        assert client.post(page(f"segments_segment_{name}", known.pk)).status_code == 403
    assert client.post(page("segments_segment_members_add", friends.pk)).status_code == 403
    for act in ("remove", "list", "campaign"):
        data = {"do": act, "everybody": "yes"}
        assert client.post(page("segments_segment_members_selected", friends.pk), data).status_code == 403
    for name in ("from_template", "install_templates", "fixed_list"):
        assert client.post(page(f"segments_segment_{name}")).status_code == 403
    assert send(client, KNOWN, known).status_code == 403


@pytest.mark.parametrize("name", ["refresh", "star", "members_selected", "install_templates"])
def test_changes_are_not_made_by_get_requests(name, friends, admin_client):
    args = [] if name == "install_templates" else [friends.pk]
    assert admin_client.get(page(f"segments_segment_{name}", *args)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(is_superuser=True))
    assert strict.post(page(f"segments_segment_{name}", *args)).status_code == 403


# -- Deletion

DELETE_SELECTED = {"action": "delete_selected", "post": "yes"}


def test_a_segment_that_others_refer_to_is_not_deleted(known, admin_client):
    make("inner", {"in_segment": {"is": "known"}})
    for address, data in (
        (page("segments_segment_delete", known.pk), {"post": "yes"}),
        (
            page("segments_segment_changelist"),
            {"action": "delete_selected", "_selected_action": known.pk, "post": "yes"},
        ),
    ):
        response = admin_client.post(address, data, follow=True)
        assert response.status_code == 200
        assert "inner" in response.content.decode()
        assert Segment.objects.filter(pk=known.pk).exists()


def test_a_reference_added_during_a_deletion_is_reported(known, admin_client, monkeypatch):
    make("inner", {"in_segment": {"is": "known"}})
    monkeypatch.setattr("segments.admin.deletion._remaining_referrers", lambda doomed: [])
    for address, data in (
        (page("segments_segment_delete", known.pk), {"post": "yes"}),
        (
            page("segments_segment_changelist"),
            {"action": "delete_selected", "_selected_action": known.pk, "post": "yes"},
        ),
    ):
        assert "inner" in said(admin_client.post(address, data, follow=True))
        assert Segment.objects.filter(pk=known.pk).exists()


def test_segments_are_deleted_together_with_those_that_refer_to_them(known, admin_client):
    inner = make("inner", {"in_segment": {"is": "known"}})
    data = {"action": "delete_selected", "_selected_action": [known.pk, inner.pk]}
    assert "Known" in admin_client.post(page("segments_segment_changelist"), data).content.decode()
    admin_client.post(page("segments_segment_changelist"), data | {"post": "yes"})
    assert not Segment.objects.exists()
    assert not Membership.objects.exists()


def test_one_segment_is_deleted(known, admin_client):
    admin_client.post(page("segments_segment_delete", known.pk), {"post": "yes"})
    assert not Segment.objects.exists()


# -- Templates


def test_every_template_creates_a_segment(admin_client):
    for template in TEMPLATES.values():
        data = {"template": template.slug, f"{template.slug}-slug": template.slug}
        data |= {f"{template.slug}-{name}": str(value) for name, value in template.defaults().items()}
        response = admin_client.post(page("segments_segment_from_template"), data)
        segment = Segment.objects.get(slug=template.slug)
        assert response["Location"] == page("segments_segment_change", segment.pk)
        assert segment.rule == template.rule()


def test_a_templates_parameters_are_chosen_within_bounds(admin_client):
    data = {"template": "lost", "lost-slug": "lost", "lost-days": "120"}
    admin_client.post(page("segments_segment_from_template"), data)
    assert Segment.objects.get(slug="lost").rule == TEMPLATES["lost"].rule(days=120)
    for days in ("0", "99999999999", "x", "1.5", ""):
        data = {"template": "lost", "lost-slug": "lost-2", "lost-days": days}
        response = admin_client.post(page("segments_segment_from_template"), data)
        assert response.status_code == 200
        assert Segment.objects.count() == 1


def test_a_template_whose_slug_is_taken_asks_for_another(admin_client):
    data = {"template": "lead", "lead-slug": "lead"}
    admin_client.post(page("segments_segment_from_template"), data)
    again = admin_client.post(page("segments_segment_from_template"), data)
    assert "Choose another" in again.content.decode()
    assert 'value="lead-2"' in admin_client.get(page("segments_segment_from_template")).content.decode()


def test_the_missing_templates_are_installed_at_once(admin_client):
    assert "18" in said(admin_client.post(page("segments_segment_install_templates"), follow=True))
    again = said(admin_client.post(page("segments_segment_install_templates"), follow=True))
    assert "All ready-to-use segments exist already." in again
    assert Segment.objects.count() == 18


# -- Fixed lists


def members_of(slug: str) -> set[str]:
    return set(Membership.objects.filter(segment__slug=slug).values_list("customer__customer_id", flat=True))


def test_a_fixed_list_is_created_from_ids_and_unknown_ids_are_listed(shop, admin_client):
    data = {"name": "Guests", "slug": "", "ids": "c1\n c2 \nghost\n\nc1"}
    response = admin_client.post(page("segments_segment_fixed_list"), data, follow=True)
    assert "the id ghost" in said(response)
    assert members_of("guests") == {"c1", "c2"}


@pytest.mark.parametrize(
    "content",
    [
        "c1\nc2\n",
        "\ufeffcustomer_id,email\r\nc1,x\r\nc2,y\r\n",
        "email;customer_id\nx;c1\ny;c2\n",
        '"c1","a, b"\n"c2",""',
    ],
)
def test_a_fixed_list_is_created_from_a_file(content, shop, admin_client):
    data = {"name": "Guests", "slug": "guests", "file": SimpleUploadedFile("ids.csv", content.encode())}
    admin_client.post(page("segments_segment_fixed_list"), data)
    assert members_of("guests") == {"c1", "c2"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"ids": "ghost"}, "There is no customer with"),
        ({"ids": ""}, "Paste ids"),
        ({"ids": "c1\x00"}, "Null characters"),
        ({"file": SimpleUploadedFile("ids.csv", b"\xff\xfe\x00")}, "UTF-8"),
        ({"file": SimpleUploadedFile("ids.csv", b"c1\n\x00")}, "NUL"),
        ({"file": SimpleUploadedFile("ids.xlsx", b"PK")}, "extension"),
        ({"ids": "c1", "slug": "two words"}, "Use letters"),
        ({"ids": "c1", "slug": "friends"}, "already exists"),
    ],
)
def test_an_invalid_list_is_rejected(fields, problem, friends, admin_client):
    for field in fields.values():
        if hasattr(field, "seek"):
            field.seek(0)
    data = {"name": "Guests", "slug": "guests"} | fields
    response = admin_client.post(page("segments_segment_fixed_list"), data)
    assert problem in str(response.context["form"].errors)
    assert Segment.objects.count() == 1


def test_a_segment_is_frozen(known, admin_client):
    admin_client.post(page("segments_segment_freeze", known.pk), {"name": "Kept", "slug": "kept"})
    assert members_of("kept") == {"c1", "c2"}
    assert not Segment.objects.get(slug="kept").is_dynamic
    again = admin_client.post(page("segments_segment_freeze", known.pk), {"name": "Kept", "slug": "kept"})
    assert "already exists" in str(again.context["form"].errors)


def test_customers_are_added_to_a_list_and_removed(friends, admin_client):
    other = Customer.objects.get(customer_id="c2")
    data = {"action": "put_on_list", "_selected_action": [other.pk]}
    assert "Friends" in admin_client.post(page("customers_customer_changelist"), data).content.decode()
    for _ in range(2):
        admin_client.post(page("customers_customer_changelist"), data | {"segment": friends.pk})
        assert members_of("friends") == {"c1", "c2"}
    for _ in range(2):
        selected = {"do": "remove", "customer": [other.pk]}
        admin_client.post(page("segments_segment_members_selected", friends.pk), selected)
        assert members_of("friends") == {"c1"}
    admin_client.post(page("segments_segment_members_add", friends.pk), {"ids": "c2"})
    assert members_of("friends") == {"c1", "c2"}
    friends.refresh_from_db()
    assert friends.size == 2


def test_members_of_a_segment_with_a_rule_cannot_be_changed_by_hand(known, admin_client):
    for name, status in (("members_add", 404), ("members_selected", 403)):
        data = {"customer": "1", "do": "remove"}
        assert admin_client.post(page(f"segments_segment_{name}", known.pk), data).status_code == status


def test_a_fixed_list_is_renamed(friends, admin_client):
    data = {"name": "Best friends", "slug": "best-friends", "description": "x"}
    admin_client.post(page("segments_segment_change", friends.pk), data)
    friends.refresh_from_db()
    assert (friends.slug, friends.name, friends.rule) == ("best-friends", "Best friends", None)
    make("inner", {"in_segment": {"is": "best-friends"}})
    refused = admin_client.post(page("segments_segment_change", friends.pk), data | {"slug": "x"})
    assert "inner" in str(refused.context["adminform"].form.errors)


# -- Members


@pytest.mark.parametrize("order", ["", "?sort=entered", "?sort=email"])
def test_members_are_paged_without_gaps_or_repetitions(order, admin_client):
    take("customers", *({"customer_id": f"c{n:03}", "email": f"c{n}@example.org"} for n in range(119)))
    everyone = make("everyone", KNOWN)
    refresh_segments([everyone], datetime.now(UTC))
    take("customers", {"customer_id": "newest", "email": "newest@example.org"})
    refresh_segments([everyone], datetime.now(UTC))
    seen, address = [], page("segments_segment_members", everyone.pk) + order
    while address:
        shown = admin_client.get(address).context
        seen += [member.customer.customer_id for member in shown["members"]]
        address = shown["next"] and page("segments_segment_members", everyone.pk) + shown["next"]
    assert len(seen) == len(set(seen)) == 120
    assert seen[0 if not order else -1] == "newest"

    found = admin_client.get(page("segments_segment_members", everyone.pk), {"q": "c00"}).context
    assert len(found["members"]) == 10
    assert not found["next"]


@pytest.mark.parametrize(
    "query",
    [
        "page=x",
        "page=-1",
        f"page={10**30}",
        "columns=x&sort=-x",
        "orders=x&spent=-1&active=0&known=x&newsletter=x&country=%00",
        "q=%00",
        "q=" + "x" * 5000,
        "page=200",
        "page=201",
    ],
)
def test_an_invalid_page_of_members_is_no_error(query, known, admin_client):
    assert admin_client.get(f"{page('segments_segment_members', known.pk)}?{query}").status_code == 200


def test_formulas_are_escaped_in_downloaded_members(known, admin_client, monkeypatch):
    monkeypatch.setattr("segments.changes.member_stream.MEMBERS_BATCH_SIZE", 1)
    take("customers", {"customer_id": "c2", "first_name": "=1+1"})
    response = admin_client.get(page("segments_segment_members_csv", known.pk))
    header, *rows = b"".join(response).decode().splitlines()
    rows.sort()
    assert header == "customer_id,entered_at,email,phone,first_name,last_name"
    assert len(rows) == 2
    assert "anna@example.org" in rows[0]
    assert "+4930123456,'=1+1" in rows[1]


def test_members_are_not_shown_to_staff_who_may_not_see_customers(known, anna, staff):
    client = staff("view_segment")
    assert client.get(page("segments_segment_members", known.pk)).status_code == 403
    assert client.get(page("segments_segment_members_csv", known.pk)).status_code == 403
    assert anna.customer_id not in client.get(page("segments_segment_versions", known.pk)).context["changes"]


# -- Refreshes


@pytest.fixture
def broken_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is not there: nothing listens on this port."""
    # In this order: where only the first is set, the second reads as the first, and would be restored to it.
    monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)


def test_a_refresh_is_queued(known, admin_client):
    app.control.purge()
    response = admin_client.post(page("segments_segment_refresh", known.pk), follow=True)
    assert "queued" in said(response)
    assert page("segments_refresh_changelist") in said(response)
    data = {"action": "refresh_now", "_selected_action": [known.pk]}
    assert "queued" in said(admin_client.post(page("segments_segment_changelist"), data, follow=True))
    assert app.control.purge() == 1  # which serves whoever asked before it began


def test_a_refresh_request_without_redis_says_what_to_do(known, admin_client, broken_broker):
    response = admin_client.post(page("segments_segment_refresh", known.pk), follow=True)
    assert said(response) == refresh_requests.BROKER_UNAVAILABLE
    data = {"action": "refresh_now", "_selected_action": [known.pk]}
    response = admin_client.post(page("segments_segment_changelist"), data, follow=True)
    assert said(response) == refresh_requests.BROKER_UNAVAILABLE
    data = {"action": "run_tasks", "_selected_action": [1]}
    response = admin_client.post(page("django_celery_beat_periodictask_changelist"), data, follow=True)
    assert "Redis is unavailable" in said(response)


def test_a_fixed_list_is_not_refreshed(friends, admin_client):
    assert "no rule" in said(admin_client.post(page("segments_segment_refresh", friends.pk), follow=True))


def test_a_refresh_shows_what_it_did(known, admin_client):
    [row] = admin_client.get(page("segments_refresh_changelist")).context["cl"].result_list
    assert (row.segment_count, row.entered, row.left) == (1, 2, 0)
    content = admin_client.get(page("segments_refresh_change", known.refresh_id)).content.decode()
    assert "Known" in content
    assert Refresh.objects.count() == 1


def test_a_refresh_shows_how_many_candidates_it_evaluated(known, admin_client):
    take("customers", {"customer_id": "c9", "email": "c9@example.org"})
    run, _ = refresh_all()
    content = admin_client.get(page("segments_refresh_change", run.pk)).content.decode()
    assert "<dt>With new records</dt> <dd>1 customers</dd>" in " ".join(content.split())


def test_the_list_of_verifications_says_when_the_first_one_runs(admin_client):
    assert "Every night" in admin_client.get(page("segments_verification_changelist")).content.decode()


def test_a_verification_shows_its_result_on_the_home_page_too(known, admin_client):
    verification.verify_all(NOW)

    [row] = admin_client.get(page("segments_verification_changelist")).context["cl"].result_list
    assert (row.state, row.segments, row.members) == ("right", 1, 2)
    content = admin_client.get(page("segments_verification_change", row.pk)).content.decode()
    assert "All members are right" in content
    assert (
        "All members were right at the last verification."
        in admin_client.get(reverse("admin:index")).content.decode()
    )


def test_a_verification_names_who_differs_and_what_to_do(known, admin_client):
    Membership.objects.filter(segment=known, customer__customer_id="c1").delete()
    verification.verify_all(NOW)

    row = Verification.objects.get()
    assert row.state == "different"
    content = " ".join(
        admin_client.get(page("segments_verification_change", row.pk)).content.decode().split()
    )
    assert "missing c1" in content
    assert "refresh_segments --full" in content


# -- Keys


def test_a_key_is_revoked_by_staff_with_the_permission(admin_client, staff):
    key, secret = keys.create_key("Shop", ["segments:read"])
    data = {"action": "revoke", "_selected_action": [key.pk]}
    staff("view_apikey").post(page("core_apikey_changelist"), data)
    assert keys.find_key(secret)
    for _ in range(2):
        response = admin_client.post(page("core_apikey_changelist"), data, follow=True)
        assert key.prefix in said(response)
        assert not keys.find_key(secret)
    assert secret not in response.content.decode()


# -- What is not there


@pytest.mark.parametrize("name", ["members", "members_csv", "freeze", "members_add"])
def test_a_missing_segment_is_not_found(name, admin_client):
    assert admin_client.get(page(f"segments_segment_{name}", 4711)).status_code == 404
    assert admin_client.get(page(f"segments_segment_{name}", 10**30)).status_code == 404


@pytest.mark.parametrize("name", ["customers_customer", "segments_segment", "segments_refresh"])
@pytest.mark.parametrize("key", ["4711", "9" * 30, "x", "1;2"])
def test_the_page_of_a_missing_record_leads_back_to_the_list(name, key, admin_client):
    assert admin_client.get(page(f"{name}_change", key)).status_code == 302


def test_a_missing_customer_has_no_explanation(admin_client):
    assert admin_client.get(page("customers_customer_explain", 4711)).status_code == 404


def test_a_change_of_a_fixed_list_returns_its_new_size(friends):
    nobody = fixed_lists.remove_customers(friends, [4711], datetime.now(UTC))
    assert (nobody.size, nobody.left) == (1, 0)
