"""Segments in the words of staff."""

from collections.abc import Iterator
from typing import Any

from django.forms import ModelForm

from segments.evaluation import explanation
from segments.models import Segment
from segments.rules import RuleError, parse

STATUS_LABELS = {
    "up to date": "success",
    "failing": "danger",
    "edited, waits for a refresh": "warning",
    "not refreshed yet": "warning",
    "paused": "info",
    "fixed list": "primary",
}
_STATUSES = {
    "fresh": "up to date",
    "failing": "failing",
    "edited": "edited, waits for a refresh",
    "new": "not refreshed yet",
    "paused": "paused",
    "static": "fixed list",
}


def segment_sentence(segment: Segment) -> str:
    """Say in English who is in a segment, or what keeps its rule from being read."""
    return rule_sentence(segment.rule) if segment.is_dynamic else explanation.FIXED_LIST


def rule_sentence(rule: Any) -> str:
    """Say in English who fits a rule, or what keeps it from being read."""
    try:
        return f"Everyone who {parse(rule).sentence()}"
    except RuleError as error:
        return f"The rule cannot be read: {error}"


def count_text(number: int, noun: str) -> str:
    """Say how many of something there are."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def edit_summary(form: ModelForm, *, is_new: bool) -> str:
    """Say what a form has made of a segment: of a new one who is in, of others what was and what is."""
    if is_new:
        return f"{segment_sentence(form.instance)}."
    return " ".join(_field_changes(form)) or "Saved without a change."


def _field_changes(form: ModelForm) -> Iterator[str]:
    for name in form.changed_data:
        before, after = (_value_text(name, values.get(name)) for values in (form.initial, form.cleaned_data))
        yield f"{name.removeprefix('is_').capitalize()}: was {before}, is {after}."


def _value_text(name: str, value: Any) -> str:
    if name == "rule":
        try:
            return f"“everyone who {parse(value).sentence()}”"
        except RuleError:
            return "a rule that cannot be read"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{value}”" if value else "empty"


def status_text(segment: Segment) -> str:
    """Say how a segment stands."""
    return _STATUSES[segment.status]


def status_label(segment: Segment) -> str:
    """Give the kind of label its status is shown as."""
    return STATUS_LABELS[status_text(segment)]
