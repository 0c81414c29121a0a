"""The codes of a pool: imported from a file, or generated.

Writes new rows of ``Coupon``."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from django.db import transaction

from campaigns.models import CouponPool
from core.db import execution, temporary_tables
from core.values import sortable_values
from core.values.text_cleaning import to_nfc

CODE_ALPHABET: Final = (
    "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without characters that are easily confused: 0, O, 1, I, L
)
MAX_CODE_LENGTH: Final = 100
MAX_FOLDED_LENGTH: Final = 200
MIN_GENERATED_LENGTH, MAX_GENERATED_LENGTH = 8, 32  # even the shortest cannot be guessed: 850 billion codes
MAX_GENERATED_CODES: Final = 100_000
MAX_REASONS: Final = 20
_HEADINGS: Final = frozenset({"code", "codes", "coupon", "coupon code", "coupon_code", "discount code"})


class InvalidCodeFile(ValueError):
    """The file contains no codes. The text says why."""


@dataclass(frozen=True)
class AddedCodes:
    """How many codes were added, known or refused, with the first reasons."""

    added: int
    known: int
    refused: int
    reasons: tuple[str, ...] = ()


def add_codes(pool: CouponPool, codes: Iterable[str]) -> AddedCodes:
    """Add codes to a pool. Codes that any pool has already stay unchanged."""
    good: dict[str, str] = {}
    reasons: list[str] = []
    refused = given = 0
    for code in map(to_nfc, codes):
        given += 1
        if problem := _code_problem(code):
            refused += 1
            if len(reasons) < MAX_REASONS:
                reasons.append(problem)
        else:
            good.setdefault(sortable_values.fold_case(code), code)
    added = _insert_codes(pool, good)
    return AddedCodes(added, given - refused - added, refused, tuple(reasons))


def generate_codes(pool: CouponPool, count: int, length: int, random: Random, prefix: str = "") -> int:
    """Generate codes that cannot be guessed (``random`` is a SystemRandom outside of tests). Return how many.

    Raises ValueError for a count, a length or a prefix out of bounds.
    """
    if not 1 <= count <= MAX_GENERATED_CODES:
        raise ValueError(f"Generate 1 to {MAX_GENERATED_CODES:,} codes at once.")
    if not MIN_GENERATED_LENGTH <= length <= MAX_GENERATED_LENGTH:
        raise ValueError(f"Generate codes of {MIN_GENERATED_LENGTH} to {MAX_GENERATED_LENGTH} characters.")
    if prefix and (
        (problem := _code_problem(prefix)) or len(prefix) > MAX_CODE_LENGTH - MAX_GENERATED_LENGTH
    ):
        raise ValueError(
            problem or f"The prefix is longer than {MAX_CODE_LENGTH - MAX_GENERATED_LENGTH} characters."
        )
    prefix, generated = to_nfc(prefix), 0
    while generated < count:
        codes = (prefix + "".join(random.choices(CODE_ALPHABET, k=length)) for _ in range(count - generated))
        generated += _insert_codes(pool, {sortable_values.fold_case(code): code for code in codes})
    return generated


def read_code_file(text: str) -> Iterator[str]:
    """Yield the codes of a CSV file: from a column with a known name, else the first. Raises InvalidCodeFile."""
    head = text.partition("\n")[0]
    separator = next((mark for mark in (";", "\t") if mark in head), ",")
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InvalidCodeFile(f"The file is not valid CSV: {error}.") from None
    if not rows:
        raise InvalidCodeFile("The file contains no codes.")
    names = [cell.strip().casefold() for cell in rows[0]]
    column = next((index for index, name in enumerate(names) if name in _HEADINGS), None)
    rows = rows if column is None else rows[1:]
    return (row[column or 0].strip() for row in rows if len(row) > (column or 0))


def _code_problem(code: str) -> str:
    if not code or len(code) > MAX_CODE_LENGTH or len(sortable_values.fold_case(code)) > MAX_FOLDED_LENGTH:
        return f"{code[:40]!r} must have 1 to {MAX_CODE_LENGTH} characters."
    if not code.isprintable() or re.search(r"[\s/\\]", code) or not code.strip("."):
        return f"{code[:40]!r}: a code cannot contain spaces or slashes."
    return ""


def _insert_codes(pool: CouponPool, codes: Mapping[str, str]) -> int:
    temporary_tables.create_temporary_table("new_codes", "code text, folded text")
    with transaction.atomic():
        temporary_tables.load_rows(
            "new_codes", ("code", "folded"), ((code, folded) for folded, code in codes.items())
        )
        added = execution.execute(
            """INSERT INTO campaigns_coupon (pool_id, code, code_folded)
                SELECT %s, code, folded FROM new_codes WHERE true ON CONFLICT (code_folded) DO NOTHING""",
            [pool.pk],
        )
    temporary_tables.empty_table("new_codes")
    return added
