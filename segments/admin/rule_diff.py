"""What differs between two rules: in their sentences by words, and in their JSON by lines."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any


@dataclass(frozen=True)
class DiffPiece:
    """Some words that both sentences have, or that were ``added`` or ``removed``."""

    text: str
    change: str = ""


@dataclass(frozen=True)
class DiffLine:
    """A line of each JSON, side by side; None where one of them has no line there."""

    before: str | None
    after: str | None

    @property
    def is_same(self) -> bool:
        """Tell whether nothing differs here."""
        return self.before == self.after


def diff_words(before: str, after: str) -> list[DiffPiece]:
    """Go through both sentences at once."""
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
    """Lay both rules out, and put equal lines side by side."""
    old, new = (
        json.dumps(rule, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
        for rule in (before, after)
    )
    for _, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, False).get_opcodes():
        for pair in zip_longest(old[old_from:old_to], new[new_from:new_to]):
            yield DiffLine(*pair)
