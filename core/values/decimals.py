"""Decimals with up to four places, stored as whole ten-thousandths.

SQLite's decimals are binary floats. Integers add and compare exactly on every database.
"""

import re
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

from django import forms
from django.core import exceptions
from django.db import models

DECIMAL_PLACES = 4
SCALE = 10**DECIMAL_PLACES
MAX_AMOUNT = 10**10  # so that twice the sum of 40,000 of the largest orders still fits a 64-bit integer

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, rounding=ROUND_HALF_UP)
"""Multiplies without rounding, and rounds half away from zero to whole numbers."""

_NUMBER = re.compile(r"([+-]?)(\d{1,10})(?:\.(\d{1,4})0*)?", re.ASCII)


def parse_units(text: str) -> int:
    """Parse an amount such as ``-12.5`` into ten-thousandths. Raises ValueError with what to change."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not an amount: write digits with a point and up to four decimals, such as 1234.50"
        )
    sign, whole, fraction = match.groups()
    units = int(whole + (fraction or "").ljust(DECIMAL_PLACES, "0"))
    return -units if sign == "-" else units


def to_units(value: Decimal | int) -> int:
    """Convert to ten-thousandths, rounding half away from zero."""
    return int(EXACT.scaleb(Decimal(value), DECIMAL_PLACES).to_integral_value(context=EXACT))


def from_units(units: int) -> Decimal:
    """Convert ten-thousandths to a decimal with four places."""
    return Decimal(units).scaleb(-DECIMAL_PLACES)


def plain_text(value: Decimal) -> str:
    """Return a decimal for programs, with at least two places and no separators: ``1234.50``."""
    return f"{value.quantize(Decimal('0.01')) if value == round(value, 2) else value:f}"


def round_half_away(value: Fraction) -> int:
    """Round to the nearest integer, halves away from zero."""
    magnitude = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return magnitude if value >= 0 else -magnitude


class ExactDecimalField(models.BigIntegerField):  # type: ignore[type-arg]
    """A decimal of up to four places in Python, whole ten-thousandths in the database."""

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else from_units(value)

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        try:
            return from_units(parse_units(str(value)))
        except ValueError as error:
            raise exceptions.ValidationError(str(error)) from error

    def get_prep_value(self, value: Any) -> int | None:
        value = self.to_python(value)
        return None if value is None else to_units(value)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the decimal, so that fixtures are readable."""
        value = self.value_from_object(obj)
        return "" if value is None else str(value)

    def formfield(self, **kwargs: Any) -> forms.Field | None:
        return models.Field.formfield(
            self, form_class=forms.DecimalField, max_digits=15, decimal_places=DECIMAL_PLACES, **kwargs
        )
