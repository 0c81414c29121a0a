"""A day in the URL of a list."""

from datetime import date
from typing import Any, Final

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

FIRST_DAY: Final = date(1970, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)


class DayField(forms.DateField):
    """An optional day as YYYY-MM-DD, far from the ends of the calendar, so that days can be added to it."""

    def __init__(self, **kwargs: Any) -> None:
        validators = [MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)]
        super().__init__(required=False, input_formats=["%Y-%m-%d"], validators=validators, **kwargs)
