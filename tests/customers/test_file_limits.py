"""Files that would take long to look at: how much is looked at is limited, and what is wrong is said."""

import io
import time
from collections.abc import Callable, Iterator

import pytest

from customers.imports import csv_files, detection, tables
from customers.imports.detection import Detected, detect
from customers.imports.formats import InvalidFile
from customers.rows.settings import shop_settings

LARGE = detection.MAX_BYTES


@pytest.fixture
def detect_quickly(tmp_path) -> Iterator[Callable[[bytes], Detected]]:
    """Detect a file, and check the processor time, which other processes do not change."""
    started = time.process_time()

    def detected(data: bytes) -> Detected:
        path = tmp_path / "file.csv"
        path.write_bytes(data)
        with path.open("rb") as file:
            return detect(file)

    yield detected
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\n" * LARGE, "the first 262,144 lines are empty", id="newlines"),
        pytest.param(
            b"x" * LARGE, "the first line has 64.0 MB; in a CSV file, each row is a line", id="one line"
        ),
        pytest.param(b"a," * (LARGE // 2), "the first line has 64.0 MB", id="one line of cells"),
        pytest.param(b'"' + b"x\n" * (LARGE // 2), "none of the first lines", id="one quote"),
        pytest.param(
            b"E-mail;Name\n" + b'a";"\n' * (LARGE // 20), "too many quotes up to line ", id="unclosed quotes"
        ),
        pytest.param(
            b";".join(b"c%d" % n for n in range(100_000)) + b"\n" + b";" * 99_999,
            "the file has 100,000 columns; the limit is 1,000",
            id="columns",
        ),
        pytest.param(("e" + "\u0301\u0316" * 60_000 + ";x\n1;2\n").encode(), "", id="marks"),
    ],
)
def test_a_file_that_cannot_be_a_table_is_refused_soon(data, reason, detect_quickly) -> None:
    if not reason:
        assert detect_quickly(data).kind == ""
        return
    with pytest.raises(InvalidFile, match=reason):
        detect_quickly(data)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"\n" * LARGE, id="empty lines"),
        pytest.param(b"(" + b" " * 130_000 + b"x;1\n", id="spaces"),
        pytest.param(
            b"".join(
                b"%d.%03d;%d.%03d\n" % (n % 900, n // 900 % 1000, n % 7, n % 997) for n in range(150_000)
            ),
            id="numbers",
        ),
    ],
)
def test_a_table_is_recognized_by_its_beginning(rest, detect_quickly) -> None:
    found = detect_quickly(b"E-Mail;Ort\na@example.org;Ulm\n" + rest)

    assert found.kind == "contacts"
    assert found.dialect
    assert found.dialect.mapping == {"E-Mail": "email", "Ort": "city"}


@pytest.mark.django_db
def test_batches_of_long_rows_are_small(monkeypatch) -> None:
    monkeypatch.setattr(tables, "BATCH_CHARACTERS", 10_000)
    rows = "\n".join(f"c{n},{'x' * 3_000}" for n in range(10))

    read: list[int] = []
    csv_files.import_file(
        csv_files.FORMATS["customers"],
        io.BytesIO(f"customer_id,note\n{rows}\n".encode()),
        shop_settings(),
        progress=lambda report: read.append(report.read),
    )

    assert read == [4, 8, 10]


def test_a_file_of_empty_rows_ends(tmp_path) -> None:
    path = tmp_path / "empty.csv"
    path.write_bytes(b"customer_id,city\nc1,Rome\n" + b",\n" * 2_100_000)

    with (
        path.open("rb") as file,
        pytest.raises(InvalidFile, match="more than 2,000,000 rows up to line 2,000,003 are empty"),
    ):
        list(tables.read_table(file, None))
