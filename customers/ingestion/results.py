"""What became of ingested rows."""

from dataclasses import dataclass, field
from enum import Enum, auto


class Origin(Enum):
    """Who told of records. What a browser key says is believed less, and its ids are apart from all others."""

    RECORDS = auto()
    """A file, or the API."""
    SERVER = auto()
    """A message with the key of a server, or of a source that is trusted like one."""
    BROWSER = auto()
    """A message with a key that everybody can read: orders are drafts."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not taken: its line number, the reason, and its cells where it came from a file."""

    line: int
    reason: str
    cells: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of the rows of a call.

    The lines ``left_out`` belong to the past of somebody who was erased. Those ``kept_unsubscribed`` say
    ``subscribed`` of a customer whose unsubscription they do not end. Those ``crowded`` are of a customer who has too
    many attributes.
    """

    created: int = 0
    updated: int = 0
    left_out: list[int] = field(default_factory=list)
    kept_unsubscribed: list[int] = field(default_factory=list)
    crowded: list[int] = field(default_factory=list)
    refused: list[RejectedRow] = field(default_factory=list)
