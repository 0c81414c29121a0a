"""References between segments: the order of a refresh, and the check for circles and unknown segments."""

from collections.abc import Callable, Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from .models import Segment
from .rules import Rule, RuleError, parse, values
from .rules.parsing import MAX_CONDITIONS

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
    """Check rules, given by slug, before they are saved.

    Raises RuleError if one would refer to an unknown segment or in a circle, or if a rule with the rules that it asks
    ahead would be too long or look too far ahead. This can also be the rule of a segment that refers to one of them.
    """
    stored: dict[str, Rule | None] = {
        segment.slug: _parse(segment) for segment in Segment.objects.only("slug", "kind", "rule")
    }
    stored |= rules
    graph = {slug: rule.references() if rule else set() for slug, rule in stored.items()}
    for slug in rules:
        for name in sorted(graph[slug] - graph.keys()):
            raise RuleError("rule", f"there is no segment {name!r} to refer to")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise RuleError("rule", f"segments may not refer to one another in a circle: {circle}") from None
    for slug, rule in stored.items():
        if rule and (slug in rules or _reaches(graph, slug, rules.keys())):
            _check_expansion("" if slug in rules else slug, rule, stored)


def check_references_of(rule: Rule) -> None:
    """Check a rule that is not saved. Raises RuleError as ``check_references`` does."""
    if rule.references():
        check_references({"": rule})


def _reaches(graph: Mapping[str, set[str]], slug: str, wanted: Collection[str]) -> bool:
    return any(name in wanted or _reaches(graph, name, wanted) for name in graph.get(slug, ()))


def _check_expansion(slug: str, rule: Rule, stored: Mapping[str, Rule | None]) -> None:
    """Check a rule together with the rules that it asks ahead. ``slug`` is that of a segment that is not saved now."""

    def find_rule(name: str) -> Rule | None:
        found = stored.get(name)
        return found and found.expand(find_rule, asks_rules=True)

    if not rule.span_ahead():
        return
    expanded = rule.expand(find_rule, asks_rules=False)
    of = f"the rule of {slug}, " if slug else ""
    if len(list(expanded.conditions())) > MAX_CONDITIONS:
        raise RuleError(
            "rule",
            f"{of}with the rules of the segments that it asks ahead, has more than {MAX_CONDITIONS} conditions",
        )
    if expanded.span_ahead() > values.MAX_AHEAD:
        raise RuleError(
            "rule",
            f"{of}with the rules of the segments that it asks ahead, asks more than"
            f" {values.MAX_AHEAD.days} days ahead",
        )


def with_segment_names(rule: Rule) -> Rule:
    """Return a rule whose sentence has the names of segments in place of their slugs. It cannot be evaluated."""
    names = segment_names([rule])
    return rule.with_segment_names(names) if names else rule


def segment_names(rules: Iterable[Rule]) -> dict[str, str]:
    """Return the names of the segments that rules refer to, also through those that they ask ahead, by their slugs."""
    given = list(rules)
    slugs = {slug for rule in given for slug in rule.references()}
    if not slugs:
        return {}
    is_ahead = any(rule.span_ahead() for rule in given)
    named = Segment.objects.all() if is_ahead else Segment.objects.filter(slug__in=slugs)
    return dict(named.order_by().values_list("slug", "name"))


def referring_segments(slug: str) -> list[Segment]:
    """Return the segments whose rules refer to a slug."""
    dynamic = Segment.objects.filter(kind=Segment.Kind.DYNAMIC)
    return [segment for segment in dynamic if (rule := _parse(segment)) and slug in rule.references()]


def _parse(segment: Segment) -> Rule | None:
    """Return the rule; None of a fixed list, and if it is invalid."""
    try:
        return parse(segment.rule) if segment.is_dynamic else None
    except RuleError:
        return None
