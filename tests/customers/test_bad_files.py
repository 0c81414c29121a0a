"""Invalid files: invalid rows are rejected with their line and what to change, and the others are kept."""

import csv
import os
from pathlib import Path

import pytest
from django.core.management import CommandError

from customers.imports import csv_reader
from customers.imports.formats import InvalidFile
from customers.models import Customer, Order, OrderLine
from tests.support import shop

pytestmark = pytest.mark.django_db

HEADER = "order_id,customer_id,placed_at,total"
GOOD = "{},c1,2026-03-01,5"
STRAY_QUOTE = "a quote is opened, but not closed at the end of the cell"
LONE_RETURN = "the line contains a carriage return; end lines with LF or CRLF, as “CSV UTF-8” does"


def order_ids() -> list[str]:
    return sorted(Order.objects.values_list("order_id", flat=True))


# -- Files of which nothing can be taken


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("orders", "", "the file is empty; its first line names the columns: order_id,customer_id,placed_at,"),
        ("orders", "\n\r\n\n", "the file is empty"),
        ("orders", "order_id,customer_id\no1,c1\n", "missing column placed_at in the header (found: order_id, cu"),
        ("order_lines", "name\n", "missing column order_id, sku in the header (found: name)"),
        ("orders", f"{HEADER}\n".replace(",", ";"), "; separate the columns by commas"),
        ("orders", f"{HEADER}\n".replace(",", "\t"), "; separate the columns by commas"),
        ("events", "message_id,event,occurred_at\n", "missing column customer_id or anonymous_id in the header"),
        ("orders", f"{HEADER},total\n", "the header names 'total' more than once"),
        ("customers", "customer_id,tier,tier\n", "the header names 'tier' more than once"),
        ("customers", "customer_id,Email,e-mail\n", "the header names 'email' more than once"),
        ("customers", f"customer_id,{'x' * 101}\n", "every column needs a name of 1 to 100 characters"),
        ("customers", "customer_id,a\x00b\n", "every column needs a name"),
        ("customers", "customer_id," + ",".join(f"c{n}" for n in range(300)), "the limit is 200"),
        ("orders", '"order_id,customer_id\n', f"the header cannot be read: {STRAY_QUOTE}"),
        ("orders", f"{HEADER}\ro1,c1,2026-03-01,5\r", f"the header cannot be read: {LONE_RETURN}"),
        ("orders", HEADER.encode("utf-16"), "the file is UTF-16; save it as “CSV UTF-8”"),
        ("orders", HEADER.encode() + b",\xfc\n", "the header cannot be read: is not UTF-8"),
        ("customers", b"PK\x03\x04\x14\x00\x06\x00", "the file is an Excel workbook; in Excel, choose Save As"),
    ],
)  # fmt: skip
def test_a_file_with_an_invalid_header_is_rejected(kind, text, reason) -> None:
    with pytest.raises(InvalidFile) as refused:
        shop.import_text(kind, text)

    assert reason in str(refused.value)
    assert not Customer.objects.exists()


def test_a_file_with_only_a_header_has_no_rows() -> None:
    assert shop.import_text("orders", HEADER).counts == (0, 0, 0, 0)


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_blank_lines_line_ends_and_a_byte_order_mark_are_ignored(end, mark) -> None:
    text = end.join([HEADER, "", GOOD.format("o1"), "", "", "o2,c1,yesterday,5", GOOD.format("o3")])

    done = shop.import_text("orders", mark + text.encode())

    assert done.counts == (3, 2, 0, 1)
    assert done.lines == [6]
    assert order_ids() == ["o1", "o3"]


# -- Quotes


@pytest.mark.parametrize(
    "row",
    ['bad,"c1,2026-03-01,5', 'bad,c1,2026-03-01,"5', '"bad"x,c1,2026-03-01,5', '"bad,c1,2026-03-01,5'],
)
def test_a_broken_quote_invalidates_only_its_own_line(row) -> None:
    done = shop.orders(GOOD.format("o1"), row, GOOD.format("o2"), GOOD.format("o3"), header=HEADER)

    assert done.refused == [(3, STRAY_QUOTE)]
    assert order_ids() == ["o1", "o2", "o3"]


def test_an_open_quote_at_the_end_of_a_file_invalidates_only_its_own_line() -> None:
    done = shop.orders(GOOD.format("o1"), 'bad,c1,2026-03-01,"5', header=HEADER)

    assert done.refused == [(3, STRAY_QUOTE)]
    assert order_ids() == ["o1"]


@pytest.mark.parametrize("good", [1, 50, 450])
def test_a_stray_quote_does_not_swallow_the_lines_up_to_the_next_one(good) -> None:
    rows = [GOOD.format(f"o{n:03}") for n in range(good)]

    done = shop.orders(
        'bad,"c1,2026-03-01,5', *rows, 'bad2,"c1,2026-03-01,5', GOOD.format("z"), header=HEADER
    )

    assert done.lines == [2, good + 3]
    assert len(order_ids()) == good + 1


def test_lines_after_a_stray_quote_are_read_on_their_own() -> None:
    text = "\n".join(
        [
            HEADER,
            'bad,"c1,2026-03-01,5',
            "o1,M\xfcller,2026-03-01,5",
            GOOD.format("o2"),
            'o3,"c1",2026-03-01,5',
        ]
    )

    done = shop.import_text("orders", text.encode("latin-1"))

    assert done.refused == [(2, STRAY_QUOTE), (3, "is not UTF-8; save the file as “CSV UTF-8”")]
    assert order_ids() == ["o2", "o3"]


def test_line_numbers_count_every_line_of_a_cell() -> None:
    shop.orders(GOOD.format("o1"))

    done = shop.import_rows(
        "order_lines", ["o1", "A", "one\ntwo\r\nthree", "", "", "1", "1", ""], ["o9", *[""] * 7]
    )

    assert done.lines == [5]
    assert OrderLine.objects.get().name == "one\ntwo\r\nthree"


@pytest.mark.parametrize(
    ("row", "cells"), [("bad,c1,2026-03-01", 3), ("bad,c1,2026-03-01,12,50", 5), ("bad", 1)]
)
def test_a_row_with_too_many_or_too_few_cells_is_rejected(row, cells) -> None:
    done = shop.orders(GOOD.format("o1"), row, GOOD.format("o2"), header=HEADER)

    assert done.lines == [3]
    assert done.reason.startswith(
        f"has {cells} cells where the header has 4; look for a stray or missing comma"
    )
    assert order_ids() == ["o1", "o2"]


# -- Lines


def test_a_row_with_an_overlong_cell_is_rejected_and_its_neighbours_kept() -> None:
    done = shop.orders(GOOD.format("o1"), GOOD.format("x" * 200_000), GOOD.format("o2"), header=HEADER)

    assert done.refused == [(3, "a cell is longer than 131072 characters")]
    assert order_ids() == ["o1", "o2"]


def test_a_lone_carriage_return_invalidates_only_its_own_line() -> None:
    done = shop.orders(GOOD.format("o1"), GOOD.format("a\rb"), GOOD.format("o2"), header=HEADER)

    assert done.refused == [(3, LONE_RETURN)]
    assert order_ids() == ["o1", "o2"]


def test_an_overlong_line_is_rejected_and_its_neighbours_kept() -> None:
    long = GOOD.format("x" * (5 * csv_reader.MAX_LINE_BYTES // 2))

    done = shop.orders(GOOD.format("o1"), long, GOOD.format("o2"), long, header=HEADER)

    assert done.refused == [(line, "the line is longer than 1048576 bytes") for line in (3, 5)]
    assert order_ids() == ["o1", "o2"]


def test_a_line_that_is_not_utf_8_is_rejected_and_its_neighbours_kept() -> None:
    rows = [HEADER, GOOD.format("o1"), GOOD.format("Müller"), GOOD.format("o2")]

    done = shop.import_text("orders", "\r\n".join(rows).encode("latin-1"))

    assert done.refused == [(3, "is not UTF-8; save the file as “CSV UTF-8”")]
    assert order_ids() == ["o1", "o2"]


# -- The command


def test_the_command_imports_valid_rows_reports_the_others_and_ends_with_status_1(tmp_path: Path) -> None:
    file, errors = tmp_path / "orders.csv", tmp_path / "errors.csv"
    file.write_text(f'{HEADER}\n{GOOD.format("o1")}\no2,c1,"soon, perhaps",5\n\nbad,c1,2026-03-01\n')

    said = shop.failing("import_csv", "orders", file, "--errors", errors)

    first, second, last = said.splitlines()
    assert first == (
        "line 3: placed_at: 'soon, perhaps' is not a time; write it as 2026-03-31 or 2026-03-31T18:30:00+02:00"
    )
    assert second.startswith("line 5: has 3 cells where the header has 4")
    assert last == "rows read 3, created 1, updated 0, refused 2"
    with errors.open(encoding="utf-8", newline="") as sheet:
        assert list(csv.reader(sheet)) == [
            ["line", "reason"],
            ["3", first.removeprefix("line 3: ")],
            ["5", second.removeprefix("line 5: ")],
        ]
    assert order_ids() == ["o1"]


def test_the_command_reports_the_result_of_a_valid_file(tmp_path: Path, capfd) -> None:
    file, errors = tmp_path / "orders.csv", tmp_path / "errors.csv"
    file.write_text(f"{HEADER},x\n{GOOD.format('o1')},\n")

    assert shop.command("import_csv", "orders", file) == "rows read 1, created 1, updated 0, refused 0\n"
    assert (
        shop.command("import_csv", "orders", file, "--errors", errors)
        == "rows read 1, created 0, updated 1, refused 0\n"
    )
    assert errors.read_text() == "line,reason\n"
    assert "warning: column 'x' is unknown and was ignored" in capfd.readouterr().err


@pytest.mark.parametrize("path", ["nowhere.csv", "", "../nowhere/errors.csv"])
def test_the_command_names_the_file_that_it_cannot_open(tmp_path: Path, path) -> None:
    with pytest.raises(CommandError, match=r"No such file|Is a directory"):
        shop.command("import_csv", "orders", tmp_path / path)

    file = tmp_path / "orders.csv"
    file.write_text(f"{HEADER}\n")
    with pytest.raises(CommandError, match=r"No such file or directory"):
        shop.command(
            "import_csv", "orders", file, "--errors", tmp_path / os.path.join("nowhere", "errors.csv")
        )


def test_the_command_says_why_a_file_is_invalid(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("order_id\n")

    with pytest.raises(
        CommandError, match=r"orders\.csv: missing column customer_id, placed_at in the header"
    ):
        shop.command("import_csv", "orders", file)
