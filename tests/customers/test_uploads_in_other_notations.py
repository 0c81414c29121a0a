"""Staff upload files as they have them: they see what was read, answer questions, change it, and import."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from customers import tasks
from customers.imports import column_profiles, csv_files, upload_files, uploads
from customers.ingestion import writer
from customers.models import Customer, Import, Order
from tests.support import shop
from tests.support.html_forms import forms_of
from tests.support.workbooks import workbook

pytestmark = pytest.mark.django_db

ITALIAN = (
    "Numero ordine;Data ordine;Cliente;Indirizzo e-mail;Totale ordine\n"
    "1001;05/03/2026;Niccolò Forlì;niccolo@example.org;1.234,56 €\n"
    "1002;31/03/2026;Zoé Müller;zoe@example.org;12,00 €\n"
)
AMBIGUOUS = "E-mail;Compleanno\na@example.org;03/04/1990\nb@example.org;05/06/1991\n"


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.IMPORTS_DIR = tmp_path / "imports"
    return Path(settings.IMPORTS_DIR)


@pytest.fixture
def marketer() -> Client:
    user = User.objects.create_user("marketer", is_staff=True)
    user.groups.set(Group.objects.filter(name="Marketer"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def upload(marketer: Client) -> Callable[..., Any]:
    def uploaded(data: str | bytes, name: str = "file.csv") -> Any:
        file = SimpleUploadedFile(name, data.encode() if isinstance(data, str) else data)
        return marketer.post(reverse("admin:customers_import_add"), {"file": file}, follow=True)

    return uploaded


@pytest.fixture
def press(marketer: Client) -> Callable[..., Any]:
    """Send the form of a preview as it stands, but for some fields, and return the next page."""

    def pressed(shown: Any, view: str, **given: str) -> Any:
        form = next(one for one in forms_of(shown.content.decode()) if one.action.endswith("/start/"))
        address = reverse(f"admin:customers_import_{view}", args=[shown.context["import"].pk])
        return marketer.post(address, form.as_it_stands(**given), follow=True)

    return pressed


def stored() -> list[tuple[Any, ...]]:
    rows = Order.objects.order_by("order_id").values_list("order_id", "placed_at", "total")
    return [(order_id, placed_at.date(), total) for order_id, placed_at, total in rows]


def chosen(shown: Any) -> dict[str, str]:
    return {column: field for column, field, _ in shown.context["columns"]}


def test_what_was_read_is_shown_and_imported(upload, press) -> None:
    shown = upload(ITALIAN.encode("cp1252"))

    text = " ".join(shown.content.decode().split())
    assert "this is <strong>Orders, with their customers and lines</strong>" in text
    assert (
        "Windows-1252 (Western Europe), semicolon, columns named in row 1, decimal comma, dates as day/month/year"
        in text
    )
    assert chosen(shown) == {
        "Numero ordine": "order_id",
        "Data ordine": "placed_at",
        "Cliente": "full_name",
        "Indirizzo e-mail": "email",
        "Totale ordine": "total",
    }
    rows = {label: [value for _, value in values] for label, values in shown.context["stored_rows"]}
    assert rows["Total"] == ["1234.56", "12.00"]
    assert rows["Ordered on"] == ["2026-03-05", "2026-03-31"]
    assert rows["First and last name"] == ["Niccolò Forlì", "Zoé Müller"]
    assert not Order.objects.exists()

    press(shown, "start")
    tasks.run_imports()

    assert stored() == [
        ("1001", date(2026, 3, 5), Decimal("1234.56")),
        ("1002", date(2026, 3, 31), Decimal(12)),
    ]
    assert Import.objects.get().state == "done"


@pytest.mark.parametrize(("order", "born"), [("dmy", date(1990, 4, 3)), ("mdy", date(1990, 3, 4))])
def test_ambiguous_dates_are_asked_about_and_the_answer_is_kept(order, born, upload, press) -> None:
    shown = upload(AMBIGUOUS)
    assert shown.context["undecided_dates"] == [("Compleanno", "03/04/1990")]
    assert "Does the day or the month stand first?" in shown.content.decode()
    assert "preview" not in shown.context

    refused = press(shown, "start")
    assert "can be read in two ways" in " ".join(map(str, refused.context["messages"]))
    assert Import.objects.get().state == "uploaded"

    answered = press(refused, "describe", date_order=order)
    assert not answered.context["undecided_dates"]
    press(answered, "start")
    tasks.run_imports()

    assert Customer.objects.get(email="a@example.org").birth_date == born
    again = upload(AMBIGUOUS.replace("03/04/1990", "07/08/1990"))
    assert not again.context["undecided_dates"]


def test_ambiguous_amounts_are_asked_about(upload, press) -> None:
    shown = upload("Order number;Order date;E-mail;Total\n1;2026-03-01;a@example.org;1.234\n")
    assert shown.context["are_amounts_undecided"]

    press(press(shown, "describe", decimal_mark=","), "start")
    tasks.run_imports()

    assert stored() == [("1", date(2026, 3, 1), Decimal(1234))]


def test_columns_are_mapped_by_staff_and_a_file_with_the_same_header_is_read_so_again(upload, press) -> None:
    text = "Contatto;Nota;Livello\nada@example.org;segreto;oro\n"
    shown = upload(text)
    assert chosen(shown) == {"Contatto": "email", "Nota": "attribute", "Livello": "attribute"}

    # What was chosen counts also if the import is started at once.
    press(shown, "start", **{"column-1": "", "column-2": "source"})
    tasks.run_imports()

    ada = Customer.objects.get()
    assert (ada.email, ada.source, ada.attributes) == ("ada@example.org", "oro", {})
    again = upload(text.replace("ada@", "bo@").encode("utf-16"))
    assert chosen(again) == {"Contatto": "email", "Nota": "", "Livello": "source"}


def test_a_kept_mapping_counts_for_a_header_in_another_case(upload, press) -> None:
    press(upload("Contatto;Data Nota\na@example.org;03/31/2026\n"), "start", **{"column-0": "email"})

    again = upload("CONTATTO;data_nota\nb@example.org;04/05/2026\n")

    assert chosen(again) == {"CONTATTO": "email", "data_nota": "attribute"}
    assert not again.context["undecided_dates"]


def test_amounts_and_dates_are_looked_at_again_when_a_column_becomes_one(upload, press) -> None:
    shown = upload("Zzz;Www;Xxx\nA1;1.234;31/03/2026\nA2;2.500;05/04/2026\n")
    as_orders = press(shown, "describe", kind="orders")
    assert not as_orders.context["are_amounts_undecided"]

    mapped = press(
        as_orders, "describe", **{"column-0": "order_id", "column-1": "total", "column-2": "placed_at"}
    )
    assert mapped.context["are_amounts_undecided"]

    answered = press(mapped, "describe", decimal_mark=",")
    assert not answered.context["are_amounts_undecided"]
    changed = press(answered, "describe", **{"column-2": ""})
    assert not changed.context["are_amounts_undecided"]


def test_an_answer_about_dates_is_kept_beside_a_column_in_another_order(upload, press) -> None:
    shown = upload("E-mail;Compleanno;Visita;Nota\na@example.org;03/04/1990;12/31/2025;31/12/2025\n")
    assert [column for column, _ in shown.context["undecided_dates"]] == ["Compleanno"]

    answered = press(shown, "describe", date_order="dmy")
    changed = press(answered, "describe", **{"column-0": "source"})

    assert not changed.context["undecided_dates"]
    assert Import.objects.get().dialect["date_orders"] == {
        "Compleanno": "dmy",
        "Visita": "mdy",
        "Nota": "dmy",
    }


def test_the_example_of_a_question_is_a_date_that_can_be_read_in_two_ways(upload) -> None:
    shown = upload("E-mail;Compleanno\na@example.org;n/a\nb@example.org;03/04/1990\n")

    assert shown.context["undecided_dates"] == [("Compleanno", "03/04/1990")]


def test_columns_of_rejected_rows_are_shown_as_left_out(upload) -> None:
    for names in ("customer_id,email", "Codice cliente,Posta"):
        shown = upload(f"refused_line,refused_reason,{names}\n3,soon,c1,a@example.org\n")

        assert (chosen(shown)["refused_line"], chosen(shown)["refused_reason"]) == ("", "")


@pytest.mark.parametrize("row", ["400", "9" * 5000])
def test_a_header_row_that_is_not_there_changes_nothing(row, upload, press) -> None:
    shown = upload(ITALIAN)

    changed = press(shown, "describe", header_row=row)

    assert chosen(changed) == chosen(shown)


def test_missing_fields_are_named_as_staff_choose_them(upload, press) -> None:
    shown = press(upload("Codice;Valore\nA1;5,00\n"), "describe", kind="sales")

    assert "no column becomes “Ordered on”, “Total”" in shown.context["problem"]
    assert "placed_at" not in shown.context["problem"]


def test_an_export_of_shopify_is_not_called_our_own_format(upload) -> None:
    shown = upload(
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing\n1,Ada,L,a@example.org,yes\n"
    )

    assert shown.context["kind"].name == "shopify_customers"
    assert "in our own" not in " ".join(shown.content.decode().split())
    assert ("Accepts Email Marketing", "newsletter", ["yes"]) in shown.context["columns"]
    assert not shown.context["stored_rows"]


def test_how_a_file_is_written_can_be_changed(upload, press) -> None:
    shown = upload("Clienti di marzo;2026\nE-mail|Tessera;Livello|Nome\na@example.org|Rossi; Ada|Ada\n")

    changed = press(shown, "describe", separator="|", header_row="2")

    assert chosen(changed) == {"E-mail": "email", "Tessera;Livello": "attribute", "Nome": "full_name"}
    by_hand = press(changed, "describe", **{"column-1": "full_name", "column-2": ""})
    assert chosen(by_hand) == {"E-mail": "email", "Tessera;Livello": "full_name", "Nome": ""}


def test_another_kind_maps_the_columns_anew(upload, press) -> None:
    shown = upload("Ordine;Data;E-mail;Totale\n1;31/03/2026;a@example.org;5,00\n")

    as_contacts = press(shown, "describe", kind="contacts")

    assert as_contacts.context["kind"].name == "contacts"
    assert chosen(as_contacts)["E-mail"] == "email"
    assert chosen(as_contacts)["Totale"] == "attribute"


def test_a_workbook_is_read_and_its_sheet_can_be_chosen(upload, press) -> None:
    first = [
        ("Numero ordine", "Data", "E-mail", "Totale"),
        (1, datetime.fromisoformat("2026-03-31 18:30"), "a@example.org", 9.5),
    ]
    data = workbook(Ordini=first, Clienti=[("E-mail", "Nome"), ("b@example.org", "Bo")])
    shown = upload(data, "ordini.xlsx")
    assert shown.context["sheets"] == ["Ordini", "Clienti"]

    others = press(shown, "describe", sheet="Clienti")
    assert (others.context["kind"].name, chosen(others)) == (
        "sales",
        {"E-mail": "email", "Nome": "full_name"},
    )
    press(press(others, "describe", sheet="Ordini"), "start")
    tasks.run_imports()

    assert stored() == [("1", date(2026, 3, 31), Decimal("9.5"))]
    assert Order.objects.get().placed_at == datetime(2026, 3, 31, 18, 30, tzinfo=UTC)


def test_an_export_is_named(upload) -> None:
    shown = upload(
        "Name,Username,Last active,Sign up,Email,Orders,Total spend,AOV,Country / Region\n"
        "Ada Lovelace,ada,2026-03-30,2025-11-02,ada@example.org,3,120.50,40.17,IT\n"
    )

    assert "this is <strong>WooCommerce: customers (Analytics)</strong>" in shown.content.decode()


def test_rejected_rows_are_those_of_the_file_and_can_be_imported_again(upload, press, marketer) -> None:
    # One date is left, which does not show its order.
    asked = upload(ITALIAN.replace("31/03/2026", "domani").encode("cp1252"))
    shown = press(asked, "describe", date_order="dmy")
    assert [line for line, _ in dict(shown.context["stored_rows"])["Total"]] == [2]
    [rejected] = shown.context["rejected_rows"]
    assert rejected.line == 3
    assert rejected.reason.startswith("Data ordine: 'domani' is not a time")
    press(shown, "start")
    tasks.run_imports()

    one = Import.objects.get()
    sheet = b"".join(marketer.get(reverse("admin:customers_import_refused", args=[one.pk]))).decode(
        "utf-8-sig"
    )
    assert sheet.splitlines()[0].endswith("Numero ordine,Data ordine,Cliente,Indirizzo e-mail,Totale ordine")
    assert sheet.splitlines()[1].endswith('1002,domani,Zoé Müller,zoe@example.org,"12,00 €"')
    press(upload(sheet.replace("domani", "04/03/2026"), "file-rejected.csv"), "start")
    tasks.run_imports()

    assert stored()[1] == ("1002", date(2026, 3, 4), Decimal(12))


def test_a_file_in_our_own_format_stays_one(upload, press) -> None:
    shown = upload("customer_id,email,tier\nc1,a@example.org,gold\n")
    assert shown.context["is_own_format"]

    press(shown, "start")

    assert Import.objects.get().dialect == {}


def test_an_imported_file_in_another_notation_is_deleted_when_its_person_is_erased(upload, press) -> None:
    press(upload("Codice cliente;Nome\nc1;Ada\n".encode("utf-16")), "start")
    press(upload("Codice cliente;Nome\nc2;Bo\n".encode("utf-16")), "start")
    tasks.run_imports()
    tasks.run_imports()
    first, second = Import.objects.order_by("pk")

    shop.command("erase_customer", "c1", "--yes")

    assert not upload_files.file_path(first).exists()
    assert upload_files.file_path(second).exists()


@pytest.mark.parametrize("kind", ["", "customers"], ids=["detected", "chosen"])
def test_a_workbook_in_our_own_format_is_imported(upload, press, kind) -> None:
    day = date(1990, 4, 3)
    rows = [("customer_id", "email", "birth_date"), ("c1", "a@example.org", day)]

    page = upload(workbook(Sheet=rows), "customers.xlsx")
    press(page, "start", **({"kind": kind} if kind else {}))
    tasks.run_imports()

    assert Import.objects.get().state == "done", Import.objects.get().error
    assert Customer.objects.values_list("customer_id", "birth_date").get() == ("c1", day)


def test_a_wrong_encoding_can_be_chosen_and_taken_back(upload, press) -> None:
    shown = upload(ITALIAN)

    wrong = press(shown, "describe", encoding="utf-16")
    assert wrong.status_code == 200
    assert chosen(press(wrong, "describe", encoding="utf-8")) == chosen(shown)


def test_what_was_previewed_is_imported_although_somebody_else_describes_the_file_meanwhile(upload) -> None:
    mine = upload("E-mail;Nome;Soprannome\na@example.org;Ada;Countess\n").context["import"]
    mine.refresh_from_db()
    other = Import.objects.get(pk=mine.pk)
    mapping = {"E-mail": "email", "Nome": "", "Soprannome": "last_name"}
    uploads.describe_upload(other, "contacts", {"mapping": mapping})

    assert uploads.start_import(mine, csv_files.FORMATS[mine.kind], datetime.now(UTC))
    uploads.run_next_import()

    assert Customer.objects.get().last_name == "Ada"


def test_the_progress_of_a_workbook_moves_with_its_rows(upload, press, monkeypatch) -> None:
    monkeypatch.setattr(csv_files, "ROWS_BATCH_SIZE", 500)
    monkeypatch.setattr(column_profiles, "BATCH_ROWS", 500)
    rows = [("E-mail", "Nome"), *((f"a{n}@example.org", f"Ada {n}") for n in range(2_000))]
    one = press(upload(workbook(Clienti=rows), "clienti.xlsx"), "start").context["import"]
    seen: list[int] = []
    ingest = writer.ingest

    def ingest_and_look(*args: Any, **options: Any) -> Any:
        seen.append(Import.objects.values_list("bytes_read", flat=True).get(pk=one.pk))
        return ingest(*args, **options)

    monkeypatch.setattr(writer, "ingest", ingest_and_look)
    uploads.run_next_import()

    assert len(seen) == 4
    assert seen == sorted(set(seen))
    assert seen[0] == 0 < seen[1] < one.size * 0.6 < seen[2] <= one.size


def test_a_header_row_that_is_not_there_is_named(upload, press) -> None:
    shown = press(upload("E-mail;Nome\na@example.org;Ada\n"), "describe", header_row="400")

    assert "This file cannot be imported: there is no row 400." in map(str, shown.context["messages"])
