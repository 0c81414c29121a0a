"""A form field for a duration: a whole number and its unit."""

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from core.durations import UNITS

UNIT_CHOICES: Final = [(name, f"{name}s") for name in ("minute", "hour", "day", "week")]
MAX_DURATION: Final = timedelta(days=3650)


class DurationWithUnitWidget(forms.MultiWidget):
    template_name = "campaigns/admin/duration.html"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        number = UnfoldAdminIntegerFieldWidget(attrs={"min": 0})
        super().__init__({"number": number, "unit": UnfoldAdminSelectWidget(choices=UNIT_CHOICES)}, attrs)

    def decompress(self, value: timedelta | None) -> list[Any]:
        """Split a duration into a number and the largest unit that divides it."""
        if value is None:
            return [None, "day"]
        for name, _ in reversed(UNIT_CHOICES):
            if value and not value % UNITS[name]:
                return [value // UNITS[name], name]
        return [int(value / timedelta(minutes=1)), "minute"]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Label both inputs for screen readers."""
        context = super().get_context(name, value, attrs)
        for part, label in zip(context["widget"]["subwidgets"], ("number", "unit"), strict=True):
            part["attrs"]["aria-label"] = label
        return context


class DurationWithUnitField(forms.MultiValueField):
    """A duration; None without a number."""

    widget = DurationWithUnitWidget

    def __init__(self, *, min_duration: timedelta = timedelta(), **kwargs: Any) -> None:
        self.min_duration = min_duration
        fields = (
            forms.IntegerField(required=False, min_value=0, max_value=10_000),
            forms.ChoiceField(required=False, choices=UNIT_CHOICES),
        )
        super().__init__(fields, require_all_fields=False, **kwargs)

    def compress(self, data_list: list[Any]) -> timedelta | None:
        if not data_list or data_list[0] is None:
            return None
        number, unit = data_list
        duration: timedelta = number * UNITS[unit or "day"]
        if duration < self.min_duration:
            raise ValidationError("Enter at least one day.")
        if duration > MAX_DURATION:
            raise ValidationError("Enter at most ten years.")
        return duration
