"""E-mail addresses are stored in one spelling, from files, the API and messages."""

from pathlib import Path

import pytest
from django.conf import settings

from customers.models import Customer, Identity
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, send, source

pytestmark = pytest.mark.django_db

CASES = Path(settings.BASE_DIR).parent / "shared" / "cases"
SPELLINGS = [
    ("Mia2@Example.com\u200b", "mia2@example.com"),
    ("\ufeffmia3@example.com", "mia3@example.com"),
    ("mia4@example.com\u00a0", "mia4@example.com"),
    ("mia5@exa\u00admple.com", "mia5@example.com"),
    ("\u202amia6@example.com\u202c", "mia6@example.com"),
    ("mia7@example.com.", "mia7@example.com"),
    ("kunde@faß.example", "kunde@xn--fa-hia.example"),
    ("info@STRAßE.example", "info@xn--strae-oqa.example"),
    ("kunde@bu\u0308cher.example", "kunde@xn--bcher-kva.example"),
    ("jo\u0308rg@example.com", "jörg@example.com"),
    ("a@ｅxample。com", "a@example.com"),
]
NONE = [
    "double..dot@example.com",
    ".first@example.com",
    "last.@example.com",
    "a@example..com",
    "a@-example.com",
    "a@\u2603.example",
    "\u200b@example.com",
    "a@\u200b",
    "a\x07@example.com",
    "victim(1)@example.com",
    "(1)victim@example.com",
    "victim:@example.com",
    "a:victim@example.com",
    "victim[@example.com",
    "\\victim@example.com",
]


@pytest.mark.parametrize(("given", "kept"), SPELLINGS)
def test_files_the_api_and_messages_normalize_addresses_alike(given: str, kept: str) -> None:
    shop.import_rows("customers", ["file", given], header="customer_id,email")
    ApiClient("ingest").post("customers/", {"customer_id": "api", "email": given}, status=201)
    _, key = source()
    send(key, identify("sdk", email=given))

    assert dict(Customer.objects.values_list("customer_id", "email")) == dict.fromkeys(
        ("file", "api", "sdk"), kept
    )


@pytest.mark.parametrize("given", NONE)
def test_invalid_addresses_are_left_out_and_reported(given: str) -> None:
    done = shop.import_rows("customers", ["c1", given], header="customer_id,email")

    assert done.counts == (1, 1, 0, 0)
    [warning] = done.warnings
    assert "is not an e-mail address" in warning
    assert Customer.objects.get().email == ""


def test_an_invisible_character_in_an_address_makes_no_second_customer() -> None:
    _, key = source()
    send(
        key, identify("", "a1", email="mia2@example.com"), identify("", "a2", email="mia2@example.com\u200b")
    )

    assert Customer.objects.existing().count() == 1
    assert Identity.objects.filter(kind="email").count() == 1


def test_a_shopify_export_finds_the_customer_by_the_normalized_address() -> None:
    shop.customers("c1,kunde@faß.example")
    header = "Customer ID,First Name,Last Name,Email,Accepts Email Marketing"
    shop.import_rows("shopify_customers", ["", "Ada", "Muster", "kunde@FAß.example", "no"], header=header)

    assert Customer.objects.get().first_name == "Ada"


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_the_shared_cases_are_accepted() -> None:
    assert shop.import_text("customers", (CASES / "b_emails.csv").read_bytes()).counts == (5, 5, 0, 0)
    done = shop.import_text("customers", (CASES / "n_addresses.csv").read_bytes())

    assert done.counts == (7, 7, 0, 0)
    [warning] = done.warnings
    assert warning.startswith("line 7: email: ")
    assert Customer.objects.filter(email="mia2@example.com").count() == 2
