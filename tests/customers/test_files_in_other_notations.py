"""Files as people have them: their notation is detected by all rows, and their records are stored like ours."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError

from customers.imports import csv_files, workbooks
from customers.imports.tables import distinct_names
from customers.models import Customer, Order, OrderLine
from tests.support import shop
from tests.support.workbooks import workbook

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Import a file by the command, and return its output."""

    def imported(data: str | bytes, *options: str, kind: str = "auto", name: str = "file.csv") -> str:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return shop.command("import_csv", kind, path, *options)

    return imported


def orders() -> list[tuple[Any, ...]]:
    stored = Order.objects.order_by("order_id").values_list("order_id", "placed_at", "total")
    return [(order_id, placed_at.date(), total) for order_id, placed_at, total in stored]


def amounts() -> list[Any]:
    return list(Order.objects.order_by("order_id").values_list("total", flat=True))


# -- How a file is written

ITALIAN = (
    "Numero ordine;Data ordine;Cliente;Indirizzo e-mail;Totale ordine;Stato\n"
    "1001;05/03/2026;Niccolò Forlì;niccolo@example.org;1.234,56 €;Spedito\n"
    "1002;31/03/2026;Zoé Müller;zoe@example.org;12,00 €;Annullato\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "iso8859-15"])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_encoding_and_separator_are_detected(encoding, separator, run) -> None:
    run(ITALIAN.replace(";", separator).encode(encoding))

    assert orders() == [
        ("1001", date(2026, 3, 5), Decimal("1234.56")),
        ("1002", date(2026, 3, 31), Decimal(12)),
    ]
    assert list(Order.objects.order_by("order_id").values_list("status", flat=True)) == [
        "fulfilled",
        "cancelled",
    ]
    people = Customer.objects.order_by("email").values_list("customer_id", "first_name", "last_name")
    assert list(people) == [("niccolo@example.org", "Niccolò", "Forlì"), ("zoe@example.org", "Zoé", "Müller")]


@pytest.mark.parametrize("encoding", ["mac-roman", "cp850"])
def test_older_encodings_are_detected(encoding, run) -> None:
    names = "Prénom;Nom;Courriel\nZoé;Lefèvre;z@example.org\nRenée;Besançon;r@example.org\n"

    run(names.encode(encoding))

    assert sorted(Customer.objects.values_list("last_name", flat=True)) == ["Besançon", "Lefèvre"]


def test_lines_may_end_with_a_carriage_return(run) -> None:
    run("Vorname;Nachname;E-Mail\rJürgen;Groß;j@example.org\r".encode("mac-roman"))

    assert Customer.objects.get().last_name == "Groß"


def test_cells_may_hold_separators_quotes_and_line_breaks(run) -> None:
    run('E-mail;Nome;Nota\n"a@example.org";"Rossi; Mario";"una ""nota""\nsu due righe"\n')

    ada = Customer.objects.get()
    assert (ada.last_name, ada.attributes) == ("Mario", {"Nota": 'una "nota"\nsu due righe'})


def test_titles_above_the_header_empty_rows_and_totals_are_left_out(run) -> None:
    output = run(
        "Report ordini;;;\nPeriodo: marzo 2026;;;\n;;;\nOrdine;Data;E-mail;Totale\n"
        "1;31/03/2026;a@example.org;10,50\n;;;\n2;01/04/2026;b@example.org;5,00\nTotale;;;15,50\n"
    )

    assert amounts() == [Decimal("10.5"), Decimal(5)]
    assert "rows read 2, created 4, updated 0, refused 0" in output


def test_a_file_without_a_header_is_read_by_its_values(run) -> None:
    run("a@example.org;Ada\nb@example.org;Bo\n")

    assert sorted(Customer.objects.values_list("email", flat=True)) == ["a@example.org", "b@example.org"]


def test_a_first_line_may_name_the_separator(run) -> None:
    run("sep=|\nE-mail|Vorname\na@example.org|Ada\n")
    run("sep=|\nZzz|Www\nb@example.org|Bo\n", "--column", "Www=first_name")

    assert list(Customer.objects.order_by("email").values_list("first_name", flat=True)) == ["Ada", "Bo"]


def test_two_columns_may_have_the_same_name(run) -> None:
    run("E-mail;Telefono;Telefono\na@example.org;;+39 333 1234567\n", "--column", "Telefono (2)=phone")

    assert Customer.objects.get().phone == "+393331234567"


@pytest.mark.parametrize("names", ["Numero;;Data;;E-mail;Totale", "Numero;Nota;Data;Nota;E-mail;Totale"])
def test_columns_without_a_name_or_with_the_same_one_do_not_hide_what_the_others_show(names, run) -> None:
    run(f"{names}\n1;;31/03/2026;;a@example.org;1.234,56\n", "--column", "Numero=order_id")

    assert orders() == [("1", date(2026, 3, 31), Decimal("1234.56"))]


def test_a_numbered_name_is_not_given_twice() -> None:
    assert distinct_names(["Total (2)", "Total", "Total"]) == ["Total (2)", "Total", "Total (3)"]


@pytest.mark.parametrize("end", ["csv", "xlsx"])
def test_without_a_header_the_last_cell_of_the_first_row_may_be_empty(end, run) -> None:
    rows = [("a@example.org", "12,50", ""), ("b@example.org", "13,50", "VIP")]
    data = workbook(Foglio=rows) if end == "xlsx" else "\n".join(map(";".join, rows))

    output = run(data, "--header-row", "0", name=f"file.{end}")

    assert "rows read 2, created 2, updated 0, refused 0" in output
    assert Customer.objects.get(email="b@example.org").attributes["Column 3"] == "VIP"


# -- Amounts


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1.234,56 €", "€ 7,50", "-3,00", "(12,00)"], ["1234.56", "7.5", "-3", "-12"]),
        (["1 234,56", "1\u202f234,5", "12,00-", "1.000"], ["1234.56", "1234.5", "-12", "1000"]),
        (["$1,234.56", "USD 7.50", "(12.00)", "1,000"], ["1234.56", "7.5", "-12", "1000"]),
        (["1'234.50 CHF", "7.00", "\u22123.20", "1’000"], ["1234.5", "7", "-3.2", "1000"]),
        (["10", "20", "30", "40"], ["10", "20", "30", "40"]),
    ],
)
def test_amounts_are_read_in_the_notation_that_all_rows_show(texts, expected, run) -> None:
    rows = "".join(f"{n}\t2026-03-0{n}\tc{n}\t{text}\n" for n, text in enumerate(texts, start=1))

    run(f"Order number\tOrder date\tCustomer id\tOrder total\n{rows}")

    assert amounts() == [Decimal(text) for text in expected]


def test_the_last_row_may_decide_the_decimal_mark(run) -> None:
    rows = "".join(f"{n};2026-03-01;c1;1.{n:03}\n" for n in range(100, 7_000, 7) if n < 1000)

    run(f"Order id;Date;Customer id;Total\n{rows}9999;2026-03-01;c1;0,5\n")

    assert Order.objects.get(order_id="100").total == 1100


def test_amounts_that_can_be_read_in_two_ways_are_asked_about(run) -> None:
    text = "Order id;Date;Customer id;Total\n1;2026-03-01;c1;1.234\n"

    with pytest.raises(CommandError, match="--decimal-mark"):
        run(text)
    assert not Order.objects.exists()

    run(text, "--decimal-mark", ",")
    assert amounts() == [Decimal(1234)]


# -- Dates


def dated(*texts: str) -> str:
    rows = "".join(f"{n};{text};c1;5\n" for n, text in enumerate(texts, start=1))
    return f"Order id;Order date;Customer id;Total\n{rows}"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["01/02/2026", "13/02/2026"], [date(2026, 2, 1), date(2026, 2, 13)]),
        (["01/02/2026", "02/13/2026"], [date(2026, 1, 2), date(2026, 2, 13)]),
        (["1.2.26", "28.2.26 18:30"], [date(2026, 2, 1), date(2026, 2, 28)]),
        (["2026/02/01", "2026.02.13"], [date(2026, 2, 1), date(2026, 2, 13)]),
        (["1er février 2026", "13 febbraio 2026"], [date(2026, 2, 1), date(2026, 2, 13)]),
        (["1 de febrero de 2026", "13. März 2026"], [date(2026, 2, 1), date(2026, 3, 13)]),
        (["Feb 1, 2026 6:30:00 PM", "Feb 13, 2026 11:59 am"], [date(2026, 2, 1), date(2026, 2, 13)]),
        (["46054", "46066.5"], [date(2026, 2, 1), date(2026, 2, 13)]),
    ],
)
def test_dates_are_read_in_the_order_that_all_rows_show(texts, expected, run) -> None:
    run(dated(*texts))

    assert [placed_on for _, placed_on, _ in orders()] == expected


def test_the_last_row_may_decide_the_order_of_dates(run) -> None:
    ambiguous = [f"{1 + n % 12:02}/{1 + n // 12 % 12:02}/2026" for n in range(6_000)]

    run(dated(*ambiguous, "31/01/2026"))

    assert Order.objects.get(order_id="2").placed_at.date() == date(2026, 1, 2)


def test_dates_that_can_be_read_in_two_ways_are_asked_about(run) -> None:
    text = dated("01/02/2026", "03/04/2026")

    with pytest.raises(CommandError, match=r"Order date can be read in two ways, such as 0.*--dates dmy"):
        run(text)
    assert not Order.objects.exists()

    run(text, "--dates", "mdy")
    assert [placed_on for _, placed_on, _ in orders()] == [date(2026, 1, 2), date(2026, 3, 4)]


def test_a_date_in_another_order_is_rejected_by_the_name_that_the_file_gives_its_column(
    run, tmp_path
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(dated("13/02/2026", "14/02/2026", "02/15/2026"))

    output = shop.failing("import_csv", "auto", path)

    assert "line 4: Order date: '02/15/2026' is not a time" in output
    assert Order.objects.count() == 2


def test_each_column_of_dates_has_its_own_order(run) -> None:
    run(
        "E-mail;Geburtsdatum;Customer since\na@example.org;24/12/80;12/31/2025\nb@example.org;01/02/1990;01/30/2026\n"
    )

    ada, bo = Customer.objects.order_by("email")
    assert (ada.birth_date, ada.first_seen) == (date(1980, 12, 24), datetime(2025, 12, 31, tzinfo=UTC))
    assert (bo.birth_date, bo.first_seen) == (date(1990, 2, 1), datetime(2026, 1, 30, tzinfo=UTC))


def test_times_without_an_offset_are_those_of_the_shop(run, settings) -> None:
    settings.TIME_ZONE = "Europe/Rome"

    run(dated("31/03/2026 18:30", "31/03/2026 6:30 pm +00:00"))

    placed = list(Order.objects.order_by("order_id").values_list("placed_at", flat=True))
    assert placed == [datetime(2026, 3, 31, 16, 30, tzinfo=UTC), datetime(2026, 3, 31, 18, 30, tzinfo=UTC)]


def test_dates_of_zeros_are_missing(run) -> None:
    run("E-mail;Compleanno;Data registrazione\na@example.org;0000-00-00;2026-03-01 10:00:00\n")

    assert (Customer.objects.get().birth_date, Customer.objects.get().first_seen) == (
        None,
        datetime(2026, 3, 1, 10, tzinfo=UTC),
    )


# -- Words and names


@pytest.mark.parametrize(
    ("yes", "no"),
    [("oui", "non"), ("sì", "no"), ("sí", "no"), ("ja", "nein"), ("abonné", "désabonné"), ("VERO", "FALSO"),
     ("Iscritto", "Disiscritto"), ("angemeldet", "abgemeldet"), ("suscrito", "baja"), ("x", "0")],
)  # fmt: skip
def test_consent_is_read_in_five_languages(yes, no, run) -> None:
    run(f"E-mail;Newsletter\na@example.org;{yes}\nb@example.org;{no}\nc@example.org;\n")

    stored = Customer.objects.order_by("email").values_list("newsletter", flat=True)
    assert list(stored) == ["subscribed", "unsubscribed", "never"]


@pytest.mark.parametrize(
    "header",
    [
        "Customer No;First name;Last name;Email;Date of birth;City",
        "N° client;Prénom;Nom;Adresse e-mail;Date de naissance;Ville",
        "Codice cliente;Nome;Cognome;Indirizzo email;Data di nascita;Città",
        "Código de cliente;Nombre;Apellidos;Correo electrónico;Fecha de nacimiento;Ciudad",
        "Kundennummer;Vorname;Name;E-Mail-Adresse;Geburtsdatum;Ort",
    ],
)
def test_columns_are_guessed_from_names_in_five_languages(header, run) -> None:
    run(f"{header}\n00042;Ada;Lovelace;ada@example.org;10/12/1990;Torino\n", "--dates", "dmy")

    ada = Customer.objects.get()
    assert (ada.customer_id, ada.first_name, ada.last_name) == ("00042", "Ada", "Lovelace")
    assert (ada.email, ada.birth_date, ada.city) == ("ada@example.org", date(1990, 12, 10), "Torino")


def test_a_column_of_addresses_is_found_by_its_values(run) -> None:
    run("Chi;Livello\nada@example.org;oro\nbo@example.org;argento\n")

    assert Customer.objects.get(email="ada@example.org").attributes == {"Livello": "oro"}


def test_attributes_are_converted_too(run) -> None:
    run("E-mail;Punti;Ultima visita\na@example.org;1.250,5;31/03/2026\nb@example.org;1.250;1/4/2026\n")

    first, second = Customer.objects.order_by("email")
    assert first.attributes == {"Punti": 1250.5, "Ultima visita": "2026-03-31"}
    assert second.attributes == {"Punti": 1250, "Ultima visita": "2026-04-01"}


def test_columns_can_be_mapped_and_left_out(run) -> None:
    run(
        "Contatto;Segreto;Stato cliente\na@example.org;007;attivo\n",
        "--column", "Segreto=", "--column", "Stato cliente=source",
        kind="contacts",
    )  # fmt: skip

    ada = Customer.objects.get()
    assert (ada.email, ada.source, ada.attributes) == ("a@example.org", "attivo", {})


def test_a_contact_without_an_id_is_the_customer_with_the_address(run) -> None:
    shop.customers("c1,a@example.org")

    run("E-mail;Vorname\nA@example.org;Ada\nb@example.org;Bo\n")

    people = Customer.objects.order_by("email").values_list("customer_id", "first_name")
    assert list(people) == [("c1", "Ada"), ("b@example.org", "Bo")]


@pytest.mark.parametrize(
    ("header", "name", "first", "last"),
    [
        ("Cognome e nome", "Rossi Mario", "Mario", "Rossi"),
        ("Cognome Nome", "De Luca Anna Maria", "Anna Maria", "De Luca"),
        ("Nom prénom", "DE LA TOUR Jean-Luc", "Jean-Luc", "DE LA TOUR"),
        ("NOM ET PRÉNOM", "DUPONT MARIE", "MARIE", "DUPONT"),
        ("Nachname, Vorname", '"von der Leyen, Ursula"', "Ursula", "von der Leyen"),
        ("Apellidos y nombre", "García Ana", "Ana", "García"),
        ("Last name, first name", "Lovelace", "", "Lovelace"),
        ("Nome e cognome", "Mario Rossi", "Mario", "Rossi"),
        ("Prénom et nom", "Jean Dupont", "Jean", "Dupont"),
        ("Vor- und Nachname", "Ada Lovelace", "Ada", "Lovelace"),
    ],
)
def test_a_column_of_names_is_split_as_its_header_says(header, name, first, last, run) -> None:
    run(f"E-mail;{header}\na@example.org;{name}\n")

    assert Customer.objects.values_list("first_name", "last_name").get() == (first, last)


CONTACTS = (
    "7,a@example.org,,yes",
    ",a@example.org,+39 333 1234567,",
    ",,+39 333 1234567,",
    ",b@example.org,+39 333 7654321,no",
    ",,+39 333 7654321,",
    "9,c@example.org,,",
    ",c@example.org,,",
)


@pytest.mark.parametrize("rows_at_once", [1, 100])
def test_a_person_who_stands_in_a_file_twice_is_one_customer(rows_at_once, run, monkeypatch) -> None:
    monkeypatch.setattr(csv_files, "ROWS_BATCH_SIZE", rows_at_once)

    run("\n".join(["Customer id,E-mail,Phone,Newsletter", *CONTACTS]), "--detect", kind="contacts")

    assert list(
        Customer.objects.order_by("email").values_list("customer_id", "email", "phone", "newsletter")
    ) == [
        ("7", "a@example.org", "+393331234567", "subscribed"),
        ("b@example.org", "b@example.org", "+393337654321", "unsubscribed"),
        ("9", "c@example.org", "", "never"),
    ]


def test_one_file_gives_customers_orders_and_lines(run) -> None:
    text = (
        "Bestellnummer;Bestelldatum;E-Mail;Kundenname;Gesamtbetrag;Artikelnummer;Artikel;Menge;Einzelpreis\n"
        "A1;31.03.2026;ada@example.org;Ada Lovelace;25,50;S-1;Schal;2;10,00\n"
        "A1;31.03.2026;ada@example.org;Ada Lovelace;25,50;;Mütze;1;5,50\n"
        "A2;01.04.2026;ada@example.org;Ada Lovelace;10,00;S-1;Schal;1;10,00\n"
    )

    for _ in range(2):
        run(text)

    ada = Customer.objects.get()
    assert (ada.customer_id, ada.first_name, ada.facts.order_count) == ("ada@example.org", "Ada", 2)
    lines = OrderLine.objects.order_by("order__order_id", "sku")
    assert list(lines.values_list("order__order_id", "sku", "name", "quantity", "unit_price")) == [
        ("A1", "Mütze", "Mütze", 1, Decimal("5.5")),
        ("A1", "S-1", "Schal", 2, 10),
        ("A2", "S-1", "Schal", 1, 10),
    ]
    shop.assert_facts_are_those_of_the_records()


# -- Workbooks


ROWS = (
    ("Ordini di marzo",),
    (),
    (None, "Numero ordine", "Data ordine", "E-mail", "Totale", "Telefono", None),
    (None, 1001, datetime.fromisoformat("2026-03-05 18:30"), "a@example.org", 1234.5, 393331234567),
    (None, "1002", date(2026, 3, 31), "b@example.org", "1.234,56 €", "+39 333 7654321"),
    (),
    (None, 1003, "13/03/2026", "b@example.org", 0.1 + 0.2, None),
    (None, 1004, 46112, "b@example.org", "=10/4", None),
    (None, 1005, "presto", "b@example.org", 1, None),
    (None, "Totale", None, None, 9999, None),
)


def test_a_workbook_is_read_with_its_dates_and_numbers(run, tmp_path) -> None:
    path = tmp_path / "ordini.xlsx"
    path.write_bytes(workbook(Sheet=[], Ordini=ROWS))

    output = shop.failing("import_csv", "auto", path)

    assert "line 9: Data ordine: 'presto' is not a time" in output
    assert "rows read 5," in output
    assert list(Order.objects.order_by("order_id").values_list("order_id", "placed_at", "total")) == [
        ("1001", datetime(2026, 3, 5, 18, 30, tzinfo=UTC), Decimal("1234.5")),
        ("1002", datetime(2026, 3, 31, tzinfo=UTC), Decimal("1234.56")),
        ("1003", datetime(2026, 3, 13, tzinfo=UTC), Decimal("0.3")),
        ("1004", datetime(2026, 3, 31, tzinfo=UTC), 0),
    ]
    assert Customer.objects.get(email="a@example.org").phone == "393331234567"


def test_another_sheet_of_a_workbook_can_be_chosen(run) -> None:
    data = workbook(Sheet=[("Istruzioni",)], Ordini=[("E-mail", "Nome"), ("a@example.org", "Ada")])

    run(data, "--sheet", "Ordini")

    assert Customer.objects.get().email == "a@example.org"
    with pytest.raises(CommandError, match="there is no sheet 'Clienti'; the sheets are Sheet, Ordini"):
        run(data, "--sheet", "Clienti")


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04\x14\x00\x06\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)]
)
def test_a_damaged_workbook_is_rejected(data, run) -> None:
    with pytest.raises(CommandError, match="the workbook cannot be read"):
        run(data)


def test_a_workbook_with_a_damaged_sheet_is_rejected(run) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(Kunden=ROWS))) as whole, zipfile.ZipFile(data, "w") as damaged:
        for name in whole.namelist():
            part = whole.read(name)
            damaged.writestr(name, part[:-40] if "sheet1" in name else part)

    with pytest.raises(CommandError, match="the sheet 'Kunden' cannot be read"):
        run(data.getvalue())


def test_the_last_instant_of_a_workbook_is_not_rounded_up(tmp_path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(Sheet=[(1,)]))) as whole, zipfile.ZipFile(data, "w") as changed:
        for name in whole.namelist():
            part = whole.read(name)
            cell = b'<c r="A1" t="d"><v>9999-12-31T23:59:59.9</v></c>'
            changed.writestr(name, re.sub(rb'<c r="A1".*</c>', cell, part) if "sheet1" in name else part)

    path = tmp_path / "last.xlsx"
    path.write_bytes(data.getvalue())
    with path.open("rb") as file:
        assert list(workbooks.read_sheet(file)) == [(1, ["9999-12-31T23:59:59"])]


@pytest.mark.parametrize("row", ["o1,c\0,2026-03-01,5", "o1,c1,2026-03-01,5,\0\0\0"])
def test_a_file_with_a_stray_nul_is_not_utf_16(row, run) -> None:
    with pytest.raises(SystemExit):  # the row is rejected
        run(f"order_id,customer_id,placed_at,total\n{row}\no2,c2,2026-03-02,6\n")

    assert orders() == [("o2", date(2026, 3, 2), Decimal(6))]


# -- Our own format


OURS = {
    "customers": (
        "customer_id,email,birth_date,newsletter,points,zip,Nota\n"
        'c1,ada@example.org,1990-05-06,yes,1.234,01234,31/12/2026\nc2,bo@example.org,,never,"1,5",00501,\n'
    ),
    "orders": (
        "order_id,customer_id,placed_at,status,total\n"
        "o1,c1,2026-03-01T10:00:00+02:00,paid,1.234\no2,c1,2026-03-02 10:00,,-5\no3,c1,soon,paid,7\n"
    ),
    "order_lines": "order_id,sku,name,quantity,unit_price,line_id\no1,007,Scarf,2,1.999,1\no9,x,,1,1,\n",
    "events": (
        "message_id,customer_id,event,occurred_at,properties\n"
        'm1,c1,View,2026-03-01,"{""price"": 1.234, ""on"": ""01/02/2026""}"\n'
    ),
}


@time_machine.travel(shop.NOON, tick=False)
def test_files_in_our_own_format_are_imported_as_without_detection(tmp_path) -> None:
    stored = []
    for options in ((), ("--detect",)):
        shop.delete_everything()
        outputs = []
        for kind, text in OURS.items():
            path = tmp_path / f"{kind}.csv"
            path.write_text(text)
            done = shop.failing if kind in ("orders", "order_lines") else shop.command
            outputs.append(done("import_csv", kind, path, *options))
        stored.append((outputs, shop.comparable_records()))

    assert stored[0] == stored[1]


def test_without_options_a_file_must_be_in_our_own_format(run) -> None:
    with pytest.raises(CommandError, match="missing column order_id"):
        run("Bestellung;Datum\n1;31.03.2026\n", kind="orders")
