"""How a file is written, and what its columns mean."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

ASK: Final = "?"
"""The file can be read in two ways, and no row decides between them: staff must say which one is right."""

DATE_ORDERS: Final[Mapping[str, str]] = MappingProxyType({"dmy": "day/month/year", "mdy": "month/day/year"})
DECIMAL_MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {".": "a point: 1,234.56", ",": "a comma: 1.234,56"}
)
SEPARATORS: Final[Mapping[str, str]] = MappingProxyType(
    {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
)
ENCODINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "utf-8": "UTF-8",
        "utf-16": "UTF-16",
        "utf-16-le": "UTF-16, little-endian",
        "utf-16-be": "UTF-16, big-endian",
        "cp1252": "Windows-1252 (Western Europe)",
        "iso8859-15": "Latin-9 (Western Europe)",
        "mac-roman": "Mac Roman",
        "cp850": "DOS 850 (Western Europe)",
        "cp1250": "Windows-1250 (Central Europe)",
    }
)

SKIP: Final = ""
ATTRIBUTE: Final = "attribute"


@dataclass(frozen=True)
class Dialect:
    """How a file is written. The defaults are those of a file in our own format.

    ``header_row`` is a line of the file, or a row of the sheet; without a header it is 0. ``mapping`` says which field
    each column becomes: a field of the format, ``ATTRIBUTE``, or ``SKIP``. ``date_orders`` has the columns that write
    dates with the day and the month in front, each with one of ``DATE_ORDERS`` or ``ASK``. What staff have said about
    amounts and dates is in ``chosen_mark`` and ``chosen_orders``; the rest is detected anew when a column changes.
    """

    encoding: str = "utf-8"
    separator: str = ","
    decimal_mark: str = "."
    header_row: int = 1
    sheet: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    date_orders: Mapping[str, str] = field(default_factory=dict)
    chosen_mark: str = ""
    chosen_orders: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Dialect | None":
        """Return the stored dialect, or None for a file in our own format."""
        names = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names}) if values else None

    def with_date_order(self, order: str) -> "Dialect":
        """Return the dialect with one order of day and month in all columns."""
        return replace(self, date_orders=dict.fromkeys(self.date_orders, order))

    @property
    def undecided_columns(self) -> list[str]:
        """The columns whose dates can be read in two ways. Skipped columns do not matter."""
        return [
            column
            for column, order in self.date_orders.items()
            if order == ASK and (not self.mapping or self.mapping.get(column, SKIP) != SKIP)
        ]

    @property
    def is_decided(self) -> bool:
        """Whether every value can be read in one way only."""
        return self.decimal_mark != ASK and not self.undecided_columns
