"""References between segments: the order of a refresh, and the check for circles and unknown segments."""

from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from .models import Segment
from .rules import Rule, RuleError, parse

Referring = TypeVar("Referring")


def reference_levels(
    segments: Iterable[Referring],
    slug: Callable[[Referring], str],
    references: Callable[[Referring], set[str]],
) -> list[list[Referring]]:
    """Order segments so that each comes in a later level than those it refers to.

    Segments that refer to one another in a circle, which saving does not allow, share the last level.
    """
    waiting = {slug(segment): segment for segment in segments}
    ordered = []
    while waiting:
        ready = [
            name for name, segment in waiting.items() if not references(segment) & (waiting.keys() - {name})
        ]
        level = [waiting.pop(name) for name in ready or list(waiting)]
        ordered.append(level)
    return ordered


def check_references(rules: dict[str, Rule]) -> None:
    """Raise RuleError if rules, given by slug, would refer to an unknown segment or in a circle."""
    graph: dict[str, set[str]] = {}
    for segment in Segment.objects.only("slug", "kind", "rule"):
        graph[segment.slug] = _references(segment)
    graph |= {slug: rule.references() for slug, rule in rules.items()}
    for slug in rules:
        for name in sorted(graph[slug] - graph.keys()):
            raise RuleError("rule", f"there is no segment {name!r} to refer to")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise RuleError("rule", f"segments may not refer to one another in a circle: {circle}") from None


def check_references_exist(rule: Rule) -> None:
    """Raise RuleError if a rule refers to an unknown segment."""
    named = rule.references()
    known = set(Segment.objects.filter(slug__in=named).values_list("slug", flat=True))
    for name in sorted(named - known):
        raise RuleError("rule", f"there is no segment {name!r} to refer to")


def with_segment_names(rule: Rule) -> Rule:
    """Return a rule whose sentence has the names of segments in place of their slugs. It cannot be evaluated."""
    names = segment_names([rule])
    return rule.with_segment_names(names) if names else rule


def segment_names(rules: Iterable[Rule]) -> dict[str, str]:
    """Return the names of the segments that rules refer to, by their slugs."""
    slugs = {slug for rule in rules for slug in rule.references()}
    return dict(Segment.objects.filter(slug__in=slugs).values_list("slug", "name")) if slugs else {}


def referring_segments(slug: str) -> list[Segment]:
    """Return the segments whose rules refer to a slug."""
    dynamic = Segment.objects.filter(kind=Segment.Kind.DYNAMIC)
    return [segment for segment in dynamic if slug in _references(segment)]


def _references(segment: Segment) -> set[str]:
    try:
        return parse(segment.rule).references() if segment.is_dynamic else set()
    except RuleError:
        return set()  # an invalid rule has no known references
