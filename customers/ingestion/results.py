"""What became of ingested rows."""

from dataclasses import dataclass, field
from enum import Enum, auto


class Origin(Enum):
    """Who sent records. Records of browsers are trusted less, and their message ids have a space of their own."""

    RECORDS = auto()
    """A file, or the API."""
    SERVER = auto()
    """A message with the key of a server, or of a source that is trusted like one."""
    BROWSER = auto()
    """A message with a key that everybody can read. Its orders are drafts."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not written: its line number, the reason, and its cells if it came from a file."""

    line: int
    reason: str
    cells: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of the rows of a call: counts, and lines.

    Lines in ``skipped`` are from before the erasure of their customer. Lines in ``kept_unsubscribed`` say
    ``subscribed``, but do not end the customer's unsubscription. Lines in ``over_attribute_limit`` belong to customers
    with too many attributes.
    """

    created: int = 0
    updated: int = 0
    skipped: list[int] = field(default_factory=list)
    kept_unsubscribed: list[int] = field(default_factory=list)
    over_attribute_limit: list[int] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
