"""Formats of CSV files: which columns they need, what each column becomes, and how a row becomes records."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from core.values.text_cleaning import clean_text
from customers.rows.cells import is_valid_attribute_name
from customers.rows.kinds import CUSTOMERS, EVENTS, Kind

from .dialects import ATTRIBUTE
from .fields import Content

MAX_FILE_COLUMNS = 1_000
"""Of a file. Few of them can be stored."""

Row = Mapping[str, str]
KindRow = tuple[Kind, Row]
"""The cells of one record. A row of a file may hold several records."""

REFUSED_LINE, REFUSED_REASON = "refused_line", "refused_reason"
REJECTION_COLUMNS = frozenset({REFUSED_LINE, REFUSED_REASON})
"""The columns that a file of rejected rows adds. They are ignored, so the corrected file can be imported."""

_SEPARATORS = str.maketrans("", "", " _-\t")


def column_key(name: str) -> str:
    """Return the form in which column names are compared: ``First Name`` and ``first_name`` are the same column."""
    return clean_text(name).casefold().translate(_SEPARATORS)


_REJECTION_KEYS = frozenset(map(column_key, REJECTION_COLUMNS))


def is_rejection_column(name: str) -> bool:
    """Return whether a column was added by a file of rejected rows."""
    return column_key(name) in _REJECTION_KEYS


class InvalidFile(ValueError):
    """A file that cannot be imported. The message says what to change."""


class Format(ABC):
    """One format of files, recognized by its columns."""

    name: str
    label: str
    columns: Sequence[str]
    is_mapped = False
    """Whether its columns are our names for fields, which no file has without a mapping."""
    contents: Mapping[str, Content] = {}
    """What the values of columns are, where they may be written in the notation of another country."""

    def canonical_header(self, header: Sequence[str]) -> list[str]:
        """Return the header with known columns in their exact form. Case, spaces, ``_`` and ``-`` do not matter."""
        known = {column_key(column): column for column in (*self.columns, *REJECTION_COLUMNS)}
        return [known.get(column_key(name), name) for name in header]

    def count_known(self, header: Sequence[str]) -> int:
        """Return how many columns of a header are columns of this format."""
        return len(set(self.columns) & set(self.canonical_header(header)))

    @abstractmethod
    def missing_columns(self, header: Sequence[str]) -> list[str]:
        """Return the required columns that are missing."""

    @abstractmethod
    def target_field(self, column: str) -> str:
        """Return the field that a column becomes, or an empty text if it is ignored."""

    @abstractmethod
    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        """Return the records of each row."""

    def check_columns(self, header: Sequence[str]) -> list[str]:
        """Return warnings about ignored columns. Raises InvalidFile if a column name is invalid."""
        return []


class PlainFormat(Format):
    """Files with the columns of one kind of record."""

    def __init__(self, kind: Kind, label: str) -> None:
        self.kind, self.name, self.label = kind, kind.name, label
        self.columns = kind.csv_columns

    def missing_columns(self, header: Sequence[str]) -> list[str]:
        """Return the missing columns. Events need one of two ids."""
        missing = [column for column in self.kind.required if column not in header]
        if self.kind is EVENTS and not missing and not {"customer_id", "anonymous_id"} & set(header):
            return ["customer_id or anonymous_id"]
        return missing

    def target_field(self, column: str) -> str:
        """Return the column's own name. Unknown columns of customers become attributes."""
        if column in self.columns or not column:
            return column
        return f"{ATTRIBUTE} {column}" if self.kind is CUSTOMERS else ""

    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        return [((self.kind, row),) for row in rows]

    def check_columns(self, header: Sequence[str]) -> list[str]:
        """Return warnings about unknown columns. Those of customers need names that attributes can have."""
        unknown = [column for column in header if column not in self.columns]
        if self.kind is not CUSTOMERS:
            return [f"column {column!r} is unknown and was ignored" for column in unknown]
        if not all(map(is_valid_attribute_name, unknown)):
            raise InvalidFile(
                "every column needs a name of 1 to 100 characters; unknown ones become attributes"
            )
        return []
