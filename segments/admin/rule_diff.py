"""The differences of two rules: word by word in their sentences, and line by line in their JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any


@dataclass(frozen=True)
class DiffPiece:
    """Words that are in both sentences, or with ``change`` ``added`` or ``removed``."""

    text: str
    change: str = ""


@dataclass(frozen=True)
class DiffLine:
    """A line of each JSON, side by side. None if one of them has no such line."""

    before: str | None
    after: str | None

    @property
    def is_same(self) -> bool:
        return self.before == self.after


def diff_words(before: str, after: str) -> list[DiffPiece]:
    """Return the pieces of two sentences, with their differences."""
    old, new = before.split(), after.split()
    pieces = []
    for kind, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, False).get_opcodes():
        if kind == "equal":
            pieces.append(DiffPiece(" ".join(new[new_from:new_to])))
            continue
        removed, added = " ".join(old[old_from:old_to]), " ".join(new[new_from:new_to])
        pieces += [DiffPiece(removed, "removed")] if removed else []
        pieces += [DiffPiece(added, "added")] if added else []
    return pieces


def diff_lines(before: Any, after: Any) -> Iterator[DiffLine]:
    """Yield the lines of two rules as JSON, equal lines side by side."""
    old, new = (
        json.dumps(rule, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
        for rule in (before, after)
    )
    for _, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, False).get_opcodes():
        for pair in zip_longest(old[old_from:old_to], new[new_from:new_to]):
            yield DiffLine(*pair)
