"""Forms of CSV files: what a header must name, what each column becomes, and how a row becomes rows of our kinds."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from core.values.text_cleaning import clean_text
from customers.rows.cells import is_valid_attribute_name
from customers.rows.kinds import CUSTOMERS, EVENTS, Kind

Row = Mapping[str, str]
KindRow = tuple[Kind, Row]
"""A row of one of our kinds, of which a row of a file may hold several."""

REFUSED_LINE, REFUSED_REASON = "refused_line", "refused_reason"
REJECTION_COLUMNS = frozenset({REFUSED_LINE, REFUSED_REASON})
"""The columns that a list of refused rows has beside its own: corrected, it can be imported as it is."""

ATTRIBUTE = "attribute"


_SEPARATORS = str.maketrans("", "", " _-\t")


def column_key(name: str) -> str:
    """Return what tells known columns apart: ``First Name`` and ``first_name`` are one."""
    return clean_text(name).casefold().translate(_SEPARATORS)


class InvalidFile(ValueError):
    """A file of which no row can be taken; the message says what to change."""


class Format(ABC):
    """One form of file, known by its columns."""

    name: str
    label: str
    columns: Sequence[str]

    def canonical(self, header: Sequence[str]) -> list[str]:
        """Write the columns that the format knows as it knows them; case, spaces, ``_`` and ``-`` do not count."""
        known = {column_key(column): column for column in (*self.columns, *REJECTION_COLUMNS)}
        return [known.get(column_key(name), name) for name in header]

    @abstractmethod
    def lacks(self, header: Sequence[str]) -> list[str]:
        """Name the columns without which nothing can be read."""

    @abstractmethod
    def becomes(self, column: str) -> str:
        """Say what a column becomes: nothing where it is left out."""

    @abstractmethod
    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        """Give the parts of each row."""

    def check(self, header: Sequence[str]) -> list[str]:
        """Warn of columns that are ignored; raise BadFile where one cannot be what it would become."""
        return []


class PlainFormat(Format):
    """The rows of one kind, as they are."""

    def __init__(self, kind: Kind, label: str) -> None:
        self.kind, self.name, self.label = kind, kind.name, label
        self.columns = kind.csv_columns

    def lacks(self, header: Sequence[str]) -> list[str]:
        """Ask for what the kind requires; of events whose they are."""
        lacking = [column for column in self.kind.required if column not in header]
        if self.kind is EVENTS and not lacking and not {"customer_id", "anonymous_id"} & set(header):
            return ["customer_id or anonymous_id"]
        return lacking

    def becomes(self, column: str) -> str:
        """Keep the names; of customers any other column is an attribute."""
        if column in self.columns or not column:
            return column
        return f"{ATTRIBUTE} {column}" if self.kind is CUSTOMERS else ""

    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        """Give the rows."""
        return [((self.kind, row),) for row in rows]

    def check(self, header: Sequence[str]) -> list[str]:
        """Warn of the unknown columns; of customers ask for names that attributes can have."""
        unknown = [column for column in header if column not in self.columns]
        if self.kind is not CUSTOMERS:
            return [f"column {column!r} is unknown and was ignored" for column in unknown]
        if not all(map(is_valid_attribute_name, unknown)):
            raise InvalidFile(
                "every column needs a name of 1 to 100 characters; unknown ones become attributes"
            )
        return []
