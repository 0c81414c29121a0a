"""When the answers about one customer change by themselves: the first later instant, if nothing more is recorded."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from core.db import dialect, execution
from segments.rules import Condition, EvaluationContext, Group, Rule, placeholder_context
from segments.rules.values import MAX_AHEAD

from .borders import ANY_CUSTOMER, BITS, AnswersAtBorders, answers_at_borders

MAX_CHANGE: Final = MAX_AHEAD
"""How far ahead changes are looked for."""
INSTANTS_AT_ONCE: Final = 200
"""A customer with many records has many borders. The first ones usually tell."""

MAX_CACHED: Final = 100
MICROSECOND: Final = timedelta(microseconds=1)

Question = tuple[Rule, timedelta]
"""A rule without parts, and the span ahead of which it is asked."""


class AnswerTree:
    """The answer of a rule about a customer, and that of each of its parts.

    ``changes_at`` is the first later instant at which the answer differs, or None if it does not within ``MAX_CHANGE``.
    """

    def __init__(self, rule: Rule, context: EvaluationContext) -> None:
        self.parts = [AnswerTree(part, its_context) for part, its_context in rule.parts(context)]
        self.met = False
        self.changes_at: datetime | None = None
        self._word = rule.word if isinstance(rule, Group) else ""
        self._question: Question = rule, context.span_ahead

    @property
    def prevented_by(self) -> tuple[str, ...]:
        """What the customer does that keeps the answer from changing, as verbs to follow “unless they”."""
        if not self.parts:
            return tuple(getattr(self._question[0], "prevented_by", ()))
        changing = [part for part in self.parts if part.changes_at == self.changes_at]
        return tuple(dict.fromkeys(verb for part in changing for verb in part.prevented_by))

    def reveals(self, shows: Callable[[Condition], bool]) -> bool:
        """Return whether ``changes_at`` could reveal the value of a condition that is not shown.

        It does not if another part changes at the same instant.
        """
        if not self.parts:
            rule = self._question[0]
            return isinstance(rule, Condition) and not shows(rule)
        revealing = [part.reveals(shows) for part in self.parts]
        return any(revealing) and all(
            reveals or part.changes_at != self.changes_at
            for part, reveals in zip(self.parts, revealing, strict=True)
        )

    def questions(self) -> Iterator[Question]:
        """Yield the rules without parts."""
        if not self.parts:
            yield self._question
        for part in self.parts:
            yield from part.questions()

    def begin(self, answers: Mapping[Question, bool]) -> bool:
        """Note the present answers. Return that of the rule."""
        for part in self.parts:
            part.begin(answers)
        self.met = self._answer(answers)
        return self.met

    def note(self, answers: Mapping[Question, bool], at: datetime) -> None:
        """Note where answers at an instant differ from the present ones for the first time."""
        for part in self.parts:
            part.note(answers, at)
        if self.changes_at is None and self._answer(answers) != self.met:
            self.changes_at = at

    @property
    def is_open(self) -> bool:
        """Whether the answer, or that of a part, can still be found to change."""
        return self.changes_at is None or any(part.is_open for part in self.parts)

    def _answer(self, answers: Mapping[Question, bool]) -> bool:
        if not self.parts:
            return answers[self._question]
        found = [part._answer(answers) for part in self.parts]
        match self._word:
            case "any":
                return any(found)
            case "none":
                return not any(found)
        return all(found)


def find_changes(rules: Sequence[Rule], customer: int, context: EvaluationContext) -> list[AnswerTree] | None:
    """Return the answers of rules about a customer, and when they change; None if the customer was first seen later.

    The rules must be expanded so that they ask the rules of other segments. The context must be for the customer.
    """
    context = replace(context, customer=customer)
    trees = [AnswerTree(rule, context) for rule in rules]
    asked = tuple(dict.fromkeys(question for tree in trees for question in tree.questions()))
    compiled, placeholder = _compile(asked, context)
    answers: dict[Question, bool] = {}
    after = context.at - MICROSECOND
    while True:
        rows = execution.fetch_all(compiled.filled(placeholder, context, after))
        if not rows and not answers:
            return None
        for _, border, concerned, *bits in rows:
            at = dialect.datetime_from_row(border)
            for place, question in enumerate(asked):
                if compiled.sources[place] & concerned:
                    answers[question] = bool(bits[place // BITS] >> place % BITS & 1)
            for tree in trees:
                if at == context.at:
                    tree.begin(answers)
                else:
                    tree.note(answers, at)
            after = at
        if len(rows) < INSTANTS_AT_ONCE or not any(tree.is_open for tree in trees):
            return trees


_cache: OrderedDict[Hashable, tuple[AnswersAtBorders, EvaluationContext]] = OrderedDict()


def _compile(
    asked: tuple[Question, ...], context: EvaluationContext
) -> tuple[AnswersAtBorders, EvaluationContext]:
    """Return the compiled questions and their placeholder, from the cache if possible."""
    key = connection.vendor, context.zone.key, context.facts, asked
    if key not in _cache:
        placeholder = placeholder_context(context.zone, context.facts, ANY_CUSTOMER)
        compiled = answers_at_borders(asked, placeholder, MAX_CHANGE, limit=INSTANTS_AT_ONCE)
        _cache[key] = compiled, placeholder
        while len(_cache) > MAX_CACHED:
            _cache.popitem(last=False)
    return _cache[key]
