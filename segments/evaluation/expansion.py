"""Expanding rules: where a rule asks for the members of another segment at another instant, it gets the rule of that.

A refresh, a live answer and a verification ask for the stored members of other segments. Ahead, and in the past, there
are no stored members, so the rule of the other segment is asked. Fixed lists have no rule, and answer by their stored
members. So do paused and failing segments ahead.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from segments.models import Segment
from segments.rules import Rule, RuleError, parse

MAX_CACHED_RULES = 1_000


@dataclass(frozen=True)
class ExpandedRule:
    """A rule that can be evaluated. ``text`` is its JSON.

    ``asked_digest`` identifies the rules of other segments that it asks; it is empty if it asks none.
    """

    rule: Rule
    text: str
    asked_digest: str = ""

    @property
    def digest(self) -> str:
        """A digest of the rule and of the rules of other segments that it asks."""
        text = json.dumps(json.loads(self.text), sort_keys=True)
        return sha256(f"{text}{self.asked_digest}".encode()).hexdigest()


class SegmentRules:
    """The rules of segments, by slug. ``with_paused`` tells whether those of paused and failing segments are asked."""

    def __init__(self, segments: Iterable[Segment], *, with_paused: bool = False) -> None:
        self._rules = {
            segment.slug: segment.rule
            for segment in segments
            if segment.is_dynamic and (with_paused or (segment.is_active and not segment.last_error))
        }

    @classmethod
    def read(cls, *, with_paused: bool = False) -> "SegmentRules":
        segments = Segment.objects.filter(kind=Segment.Kind.DYNAMIC).order_by()
        return cls(segments.only("slug", "kind", "rule", "is_active", "last_error"), with_paused=with_paused)

    def expand(self, text: str, *, asks_rules: bool = False) -> ExpandedRule:
        """Expand a rule, given as JSON text. Raises RuleError if it is invalid."""
        rule = parse_text(text)
        asked: dict[str, str] = {}
        expanded = self._expand(rule, asked, (), asks_rules=asks_rules)
        digest = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32] if asked else ""
        return ExpandedRule(expanded, text, digest)

    def _expand(self, rule: Rule, asked: dict[str, str], within: Sequence[str], *, asks_rules: bool) -> Rule:
        def find_rule(slug: str) -> Rule | None:
            if slug in within:
                raise RuleError("rule", f"segments refer to one another in a circle: {slug}")
            asked[slug] = json.dumps(self._rules[slug]) if slug in self._rules else ""
            try:
                found = parse_text(asked[slug]) if asked[slug] else None
            except RuleError:  # the page of that segment shows the error
                asked[slug], found = "", None
            return found and self._expand(found, asked, (*within, slug), asks_rules=True)

        return rule.expand(find_rule, asks_rules=asks_rules)


@lru_cache(maxsize=MAX_CACHED_RULES)
def parse_text(text: str) -> Rule:
    """Parse a rule, given as JSON text. Raises RuleError."""
    return parse(json.loads(text))


def expand_rule(rule: Rule, *, asks_rules: bool = False) -> Rule:
    """Expand one rule. ``asks_rules`` is that of the context in which it is evaluated."""
    return expand_rules([rule], asks_rules=asks_rules)[0]


def expand_rules(rules: Iterable[Rule], *, asks_rules: bool = False) -> list[Rule]:
    """Expand several rules as ``expand_rule`` does. The segments are read once."""
    given = list(rules)
    if not asks_rules and not any(rule.span_ahead() for rule in given):
        return given
    segment_rules = SegmentRules.read(with_paused=asks_rules)
    return [segment_rules._expand(rule, {}, (), asks_rules=asks_rules) for rule in given]


def expand_for_later(rules: Sequence[Rule], *, asks_rules: bool = False) -> list[Rule]:
    """Expand rules that are asked at later instants: they ask the rules of other segments everywhere.

    ``asks_rules`` is that of the context. Unless it is set, paused and failing segments answer by their stored members.
    """
    if not any(rule.references() for rule in rules):
        return list(rules)
    segment_rules = SegmentRules.read(with_paused=asks_rules)
    return [segment_rules._expand(rule, {}, (), asks_rules=True) for rule in rules]


def expand_for_past(rules: Iterable[Any]) -> list[ExpandedRule]:
    """Expand rules, given as JSON, that are asked at earlier instants. Raises RuleError if one is invalid."""
    segment_rules = SegmentRules.read(with_paused=True)
    return [segment_rules.expand(json.dumps(rule), asks_rules=True) for rule in rules]


def expand_segments(segments: Sequence[Segment]) -> list[ExpandedRule]:
    """Expand the rules of segments. Raises RuleError if one is invalid."""
    texts = [json.dumps(segment.rule) for segment in segments]
    is_ahead = any(parse_text(text).span_ahead() for text in texts)
    rules = SegmentRules.read() if is_ahead else SegmentRules(())
    return [rules.expand(text) for text in texts]
