"""Texts about segments for staff."""

from collections.abc import Iterator
from typing import Any

from django.forms import ModelForm
from django.utils import timezone

from segments.evaluation import explanation
from segments.models import Segment
from segments.references import with_segment_names
from segments.rules import RuleError, parse

STATUS_LABELS = {
    "up to date": "success",
    "failing": "danger",
    "edited, waiting for a refresh": "warning",
    "not refreshed yet": "warning",
    "paused": "info",
    "fixed list": "primary",
}
_STATUSES = {
    "fresh": "up to date",
    "failing": "failing",
    "edited": "edited, waiting for a refresh",
    "new": "not refreshed yet",
    "paused": "paused",
    "static": "fixed list",
}


def segment_sentence(segment: Segment) -> str:
    return rule_sentence(segment.rule) if segment.is_dynamic else explanation.FIXED_LIST


def rule_sentence(rule: Any) -> str:
    """Return a rule as a sentence, or why it is invalid."""
    try:
        return f"Everyone who {with_segment_names(parse(rule)).sentence()}"
    except RuleError as error:
        return f"The rule is invalid: {error}"


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun: “1 customer”, “2 customers”."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def change_phrase(tree: explanation.Explanation) -> str:
    """Return when the answer changes by itself: “leaves on 12 December at 16:27 unless they order”; else empty."""
    if tree.changes_at is None:
        return ""
    local = timezone.localtime(tree.changes_at)
    year = "" if local.year == timezone.localtime().year else f" {local.year}"
    unless = f" unless they {' or '.join(tree.prevented_by)}" if tree.prevented_by else ""
    return f"{'leaves' if tree.met else 'enters'} on {local.day} {local:%B}{year} at {local:%H:%M}{unless}"


def edit_summary(form: ModelForm, *, is_new: bool) -> str:
    """Return what a form changed, for the audit log: the old and new values, or the rule of a new segment."""
    if is_new:
        return f"{segment_sentence(form.instance)}."
    return " ".join(_field_changes(form)) or "Saved without changes."


def _field_changes(form: ModelForm) -> Iterator[str]:
    for name in form.changed_data:
        before, after = (_value_text(name, values.get(name)) for values in (form.initial, form.cleaned_data))
        yield f"{name.removeprefix('is_').capitalize()}: was {before}, is now {after}."


def _value_text(name: str, value: Any) -> str:
    if name == "rule":
        try:
            return f"“everyone who {with_segment_names(parse(value)).sentence()}”"
        except RuleError:
            return "an invalid rule"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{value}”" if value else "empty"


def status_text(segment: Segment) -> str:
    return _STATUSES[segment.status]


def status_label(segment: Segment) -> str:
    return STATUS_LABELS[status_text(segment)]
