"""A length of time as staff give it: a whole number and its unit."""

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from core.durations import UNITS

UNIT_CHOICES: Final = [(name, f"{name}s") for name in ("minute", "hour", "day", "week")]
MAX_DURATION: Final = timedelta(days=3650)


class DurationWithUnitWidget(forms.MultiWidget):
    """A field for the number beside a choice of the unit."""

    template_name = "campaigns/admin/span.html"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        number = UnfoldAdminIntegerFieldWidget(attrs={"min": 0})
        super().__init__({"number": number, "unit": UnfoldAdminSelectWidget(choices=UNIT_CHOICES)}, attrs)

    def decompress(self, value: timedelta | None) -> list[Any]:
        """Split a span into the number and the largest unit that fits."""
        if value is None:
            return [None, "day"]
        for name, _ in reversed(UNIT_CHOICES):
            if value and not value % UNITS[name]:
                return [value // UNITS[name], name]
        return [int(value / timedelta(minutes=1)), "minute"]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Say which is which to those who do not see."""
        context = super().get_context(name, value, attrs)
        for part, words in zip(context["widget"]["subwidgets"], ("how many", "unit"), strict=True):
            part["attrs"]["aria-label"] = words
        return context


class DurationWithUnitField(forms.MultiValueField):
    """A span; empty where no number is given."""

    widget = DurationWithUnitWidget

    def __init__(self, *, least: timedelta = timedelta(), **kwargs: Any) -> None:
        self.least = least
        fields = (
            forms.IntegerField(required=False, min_value=0, max_value=10_000),
            forms.ChoiceField(required=False, choices=UNIT_CHOICES),
        )
        super().__init__(fields, require_all_fields=False, **kwargs)

    def compress(self, data_list: list[Any]) -> timedelta | None:
        """Put the number and its unit together."""
        if not data_list or data_list[0] is None:
            return None
        number, unit = data_list
        length: timedelta = number * UNITS[unit or "day"]
        if length < self.least:
            raise ValidationError("At least a day.")
        if length > MAX_DURATION:
            raise ValidationError("At most ten years.")
        return length
