"""Workbooks that unpack to more than a machine can hold are refused, and the process that imports stays as it is."""

import io
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from django.core.management import CommandError

from customers.models import Customer
from tests.support import shop
from tests.support.workbooks import workbook

pytestmark = pytest.mark.django_db

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
TOO_MUCH = "the workbook cannot be read within 1 GB of memory"
DAMAGED = "the workbook cannot be read: it has a password, or is damaged"
REPEATED = "x" * (1 << 20)


def with_part(name: str, parts: Iterator[str], *, data: bytes = b"") -> bytes:
    """Replace a part of a workbook by one that is written piece by piece."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data or workbook(Sheet=[("E-mail",)]))) as whole,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as changed,
    ):
        for one in whole.namelist():
            if one != name:
                changed.writestr(one, whole.read(one))
        with changed.open(name, "w") as stream:
            for part in parts:
                stream.write(part.encode())
    return target.getvalue()


def sheet_of(*cells: str) -> bytes:
    rows = "".join(cells)
    return with_part(
        "xl/worksheets/sheet1.xml", iter([f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>"])
    )


def two_cells_far_apart() -> bytes:
    cell = '<row r="{0}"><c r="{1}{0}" t="inlineStr"><is><t>E-mail</t></is></c></row>'
    return sheet_of(cell.format(1, "A"), cell.format(1_048_576, "XFD"))


def ods_with_repeated_cells() -> bytes:
    target = io.BytesIO()
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    table = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
    text = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    cell = (
        '<table:table-cell table:number-columns-repeated="16384" office:value-type="string"><text:p>x</text:p>'
        "</table:table-cell>"
    )
    with zipfile.ZipFile(target, "w") as parts:
        parts.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        parts.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
        parts.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{office}" xmlns:table="{table}" xmlns:text="{text}"><office:body>'
            '<office:spreadsheet><table:table table:name="A">'
            f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>'
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    return target.getvalue()


def one_huge_text() -> bytes:
    def parts() -> Iterator[str]:
        yield f'<sst {MAIN} count="1" uniqueCount="1"><si><t>'
        yield from [REPEATED] * 520
        yield "</t></si></sst>"

    return with_part("xl/sharedStrings.xml", parts())


def text_that_many_cells_repeat() -> bytes:
    cell = '<row r="{0}"><c r="A{0}" t="s"><v>0</v></c></row>'
    rows = sheet_of(*(cell.format(number) for number in range(1, 5_001)))
    return with_part(
        "xl/sharedStrings.xml",
        iter([f'<sst {MAIN} count="1" uniqueCount="1"><si><t>', REPEATED, "</t></si></sst>"]),
        data=rows,
    )


def a_directory_that_lies() -> bytes:
    """The same, with a directory that promises one byte for each part."""
    data = bytearray(text_that_many_cells_repeat())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<I", data, at + 24, 1)
        at = data.find(b"PK\x01\x02", at + 1)
    return bytes(data)


@contextmanager
def level_memory() -> Iterator[None]:
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    yield
    assert process.memory_info().rss - before < 50 * (1 << 20)
    assert time.perf_counter() - started < 120


@pytest.mark.parametrize(
    "made",
    [
        two_cells_far_apart,
        ods_with_repeated_cells,
        one_huge_text,
        text_that_many_cells_repeat,
        a_directory_that_lies,
    ],
)
def test_a_workbook_that_needs_too_much_memory_is_refused(made: Callable[[], bytes], tmp_path) -> None:
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(made())

    with level_memory(), pytest.raises(CommandError, match=f"{TOO_MUCH}|{DAMAGED}"):
        shop.command("import_csv", "auto", path)


@pytest.mark.parametrize(
    ("sheets", "reason"),
    [(1_001, "the workbook has 1,001 sheets"), (100_000, "the workbook has 100,000 sheets")],
)
def test_a_workbook_with_too_many_sheets_is_refused(sheets, reason, tmp_path) -> None:
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    listed = (f'<sheet name="S{number}" sheetId="{number}" r:id="rId1"/>' for number in range(1, sheets + 1))
    path = tmp_path / "sheets.xlsx"
    path.write_bytes(
        with_part(
            "xl/workbook.xml",
            iter([f'<workbook {MAIN} xmlns:r="{relations}"><sheets>', *listed, "</sheets></workbook>"]),
        )
    )

    with level_memory(), pytest.raises(CommandError, match=reason):
        shop.command("import_csv", "auto", path)


def test_a_sheet_with_too_many_columns_is_refused(tmp_path) -> None:
    path = tmp_path / "wide.xlsx"
    path.write_bytes(workbook(Sheet=[[f"Column {n}" for n in range(1_001)]]))

    with pytest.raises(CommandError, match="cells up to column 1,001; the limit is 1,000 columns"):
        shop.command("import_csv", "auto", path)


def test_a_row_that_is_too_long_is_rejected_and_its_neighbours_kept(tmp_path) -> None:
    path = tmp_path / "long.xlsx"
    long = ["long@example.org", *["x" * 32_000] * 5]
    path.write_bytes(
        workbook(Sheet=[["E-mail", *(f"C{n}" for n in range(5))], ["a@example.org"], long, ["b@example.org"]])
    )

    assert "line 3: the row is longer than 131072 characters" in shop.failing("import_csv", "auto", path)
    assert sorted(Customer.objects.values_list("email", flat=True)) == ["a@example.org", "b@example.org"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            "<!DOCTYPE sst [<!ENTITY e0 'xxxxxxxxxx'>"
            + "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
            + f"]><sst {MAIN}><si><t>&e11;</t></si></sst>",
            id="entities",
        ),
        pytest.param(f"<sst {MAIN}>{'<si>' * 1_000_000}", id="nested"),
    ],
)
def test_xml_that_is_no_workbook_costs_nothing(content, tmp_path) -> None:
    path = tmp_path / "file.xlsx"
    path.write_bytes(with_part("xl/sharedStrings.xml", iter([content])))

    with level_memory(), pytest.raises(CommandError):
        shop.command("import_csv", "auto", path)
    assert not Customer.objects.exists()
