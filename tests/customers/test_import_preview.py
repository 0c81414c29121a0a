"""The preview of an import checks all rows that it shows like the import, and writes none of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from customers.imports import upload_files, uploads
from customers.models import Customer, Import, Order, OrderLine
from tests.support import shop

pytestmark = pytest.mark.django_db

FILES = {
    "order_lines": (
        "order_id,sku,quantity\no1,s1,1\nnobody,s1,1\n,s2,1\n" + "unknown,s1,1\n" * 30,
        [3, 4, *range(5, 35)],
    ),
    "orders": (
        "order_id,customer_id,placed_at,total\no1,c1,2026-03-01,10\no2,c2,soon,10\no3,,2026-03-01,5\n",
        [3, 4],
    ),
    "customers": ("customer_id,email\nc9,nine@example.org\n,eight@example.org\n", [3]),
}


@pytest.fixture
def client(tmp_path: Any, settings: Any) -> Client:
    settings.IMPORTS_DIR = str(tmp_path)
    shop.customers("c1,one@example.org")
    shop.orders("o1,c1,2026-03-01,10")
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.mark.parametrize("kind", FILES)
def test_the_preview_rejects_the_rows_that_the_import_rejects(kind, client):
    text, lines = FILES[kind]
    before = [model._default_manager.count() for model in (Customer, Order, OrderLine)]
    file = SimpleUploadedFile(f"{kind}.csv", text.encode())
    address = client.post(reverse("admin:customers_import_add"), {"file": file})["Location"]

    page = client.get(address)

    previewed = [(one.line, one.reason) for one in page.context["rejected_rows"]]
    assert [line for line, _ in previewed] == lines
    assert page.content.decode().count('data-label="Reason"') == len(lines)
    assert [model._default_manager.count() for model in (Customer, Order, OrderLine)] == before
    assert uploads.start_import(Import.objects.get(), page.context["kind"], shop.NOON)
    uploads.run_next_import()
    upload = Import.objects.get()
    assert (upload.state, upload.refused) == ("done", len(lines))
    with upload_files.rejected_rows_path(upload).open(encoding="utf-8-sig") as told:
        assert [int(row.split(",")[0]) for row in told.read().splitlines()[1:]] == lines
