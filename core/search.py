"""The search of the admin: sources that apps register, each of which finds one kind of thing.

A source returns only what the user may see. It is responsible for its own time limit.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from django.http import HttpRequest

from core.values.unaccent import unaccent

MAX_TERM_LENGTH: Final = 100
MAX_RESULTS: Final = 6
"""Of each source."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Result:
    title: str
    url: str
    description: str = ""


@dataclass(frozen=True)
class Results:
    """What one source has found, the best first."""

    title: str
    icon: str
    results: list[Result] = field(default_factory=list)
    is_complete: bool = True
    """False if the time was over before everything was searched."""
    more_url: str = ""
    """A page with all results, if there are more."""


Source = Callable[[HttpRequest, str], Iterable[Results]]

_sources: list[Source] = []


def register(source: Source) -> Source:
    """Add a source. Results are shown in the order in which sources are registered."""
    _sources.append(source)
    return source


def find(request: HttpRequest, term: str, *last: Source) -> list[Results]:
    """Return what the sources find, without those that find nothing."""
    term = term.replace("\x00", "").strip()[:MAX_TERM_LENGTH]
    sources = [*_sources, *last] if term else []
    found = [results for source in sources for results in source(request, term)]
    return [results for results in found if results.results or not results.is_complete]


def best_matches(
    items: Iterable[Item], term: str, texts: Callable[[Item], Iterable[str]], limit: int = MAX_RESULTS
) -> Iterator[Item]:
    """Yield up to ``limit`` items whose texts contain all words of a term, in any case and without accents.

    Items whose first text begins with the term come first, then those whose first text contains it.
    """
    folded = unaccent(term)
    words = folded.split()
    matching = []
    for item in items:
        searched = [unaccent(text) for text in texts(item)]
        if words and all(any(word in text for text in searched) for word in words):
            matching.append((not searched[0].startswith(folded), folded not in searched[0], item))
    yield from (item for *_, item in sorted(matching, key=lambda one: one[:2])[:limit])
