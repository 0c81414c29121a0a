"""What the values of columns show: dates and their order, amounts and their decimal mark, e-mail addresses."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .csv_reader import NumberedRow
from .dialects import ASK
from .notations import ExactCell, date_order_of, decimal_mark_of, is_plain_number
from .tables import batches

BATCH_ROWS: Final = 5_000
DECIDED: Final = 5_000
MAX_VALUES: Final = 2_000_000
"""How many distinct values of batches are looked at, which takes seconds. What comes later is checked at the import."""

SHARE: Final = 0.8


class ColumnProfile:
    """What the values of one column show."""

    def __init__(self) -> None:
        self.seen = 0
        self.dates: Counter[str] = Counter()
        self.marks: Counter[str] = Counter()
        self.numbers = 0
        self.emails = 0
        self.words: set[str] = set()
        self.is_clean = True
        self.example = ""
        self.follows_dates = self.follows_marks = True

    def add(self, values: Iterable[str]) -> None:
        """Add distinct values of a batch."""
        for value in values:
            if type(value) is ExactCell:
                continue
            self.seen += 1
            if value.isascii() and value.isdecimal():
                self.numbers += self.follows_marks  # without a mark, and no date
            elif self.follows_dates and (order := date_order_of(value)) is not None:
                self.dates[order] += 1
                self.example = self.example or (value if order == ASK else "")
                continue
            elif self.follows_marks and (mark := decimal_mark_of(value)) is not None:
                self.numbers += 1
                self.marks[mark] += 1
                if self.is_clean and not is_plain_number(value):
                    self.is_clean = False
            if len(self.words) < 50:
                self.words.add(value)
                self.emails += "@" in value

    def end_batch(self) -> None:
        """Stop following what the first batch shows that the column is not."""
        if self.seen:
            self.follows_dates = self.is_dates
            self.follows_marks = self.is_numbers and (
                max(self.marks["."], self.marks[","]) < DECIDED or min(self.marks["."], self.marks[","]) > 0
            )

    @property
    def is_dates(self) -> bool:
        return bool(self.dates) and sum(self.dates.values()) >= SHARE * self.seen / 2

    @property
    def is_numbers(self) -> bool:
        return bool(self.numbers) and self.numbers >= SHARE * self.seen / 2

    @property
    def date_order(self) -> str:
        """The order that the dates show, ``ASK`` if none of them decides, and "" without such dates."""
        if not self.is_dates:
            return ""
        certain = Counter({order: count for order, count in self.dates.items() if order != ASK})
        return certain.most_common(1)[0][0] if certain else ASK

    @property
    def is_emails(self) -> bool:
        return bool(self.words) and self.emails >= SHARE * len(self.words)


class TableProfile:
    """What the values of all columns show."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = {name: ColumnProfile() for name in columns}
        self._width = len(columns)
        self._values_left = MAX_VALUES
        self._places = [(place, self.columns[name]) for place, name in enumerate(columns) if name]

    def add_rows(self, numbered: Iterator[NumberedRow]) -> None:
        for batch in batches(numbered, BATCH_ROWS):
            rows = [cells for _, cells in batch if not isinstance(cells, str) and len(cells) == self._width]
            for place, column in self._places:
                if column.follows_dates or column.follows_marks:
                    # Distinct ones: there are few days, amounts and words in many rows.
                    values = {row[place] for row in rows}
                    if column.follows_dates and column.is_dates:
                        values = {value.split(" ", 1)[0].rstrip(",") for value in values}
                    column.add(value.strip() if type(value) is str else value for value in values if value)
                    column.end_batch()
                    self._values_left -= len(values)
            if self._values_left <= 0:
                return

    def __getitem__(self, column: str) -> ColumnProfile:
        return self.columns[column]
