"""Amounts as whole ten-thousandths."""

from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.values import decimals

UNITS = st.integers(-(10**14) + 1, 10**14 - 1)


@given(UNITS)
def test_units_survive_being_written_and_read(units: int) -> None:
    assert decimals.parse_units(f"{decimals.from_units(units):f}") == units
    assert decimals.to_units(decimals.from_units(units)) == units


@given(UNITS, st.integers(0, 20))
def test_trailing_zeros_are_ignored(units: int, zeros: int) -> None:
    assert decimals.parse_units(f"{decimals.from_units(units):f}{'0' * zeros}") == units


@given(st.integers(0, 10**10 - 1), st.sampled_from(["", "+", "-"]))
def test_whole_amounts_need_no_point(whole: int, sign: str) -> None:
    assert decimals.parse_units(f"{sign}{whole}") == (-whole if sign == "-" else whole) * decimals.SCALE


@given(st.text(max_size=12))
@example("1\n")
@example("१")
@example("1__0")
def test_parsed_amounts_equal_the_number_in_the_text(text: str) -> None:
    with suppress(ValueError):
        units = decimals.parse_units(text)
        assert text.isascii()
        assert decimals.from_units(units) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["", "1e5", "NaN", "Infinity", "12,5", "0.00001", "100000000000", " 1", "1 "]
)
def test_invalid_amounts_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|too large"):
        decimals.parse_units(text)


@given(
    st.fractions(max_denominator=10**6)
    | st.builds(Fraction, st.integers(), st.sampled_from([2, 6, 10, 20_000]))
)
def test_halves_are_rounded_away_from_zero(value: Fraction) -> None:
    with localcontext(prec=400):
        magnitude = Decimal(abs(value.numerator)) / Decimal(value.denominator)
        expected = int(magnitude.quantize(Decimal(1), rounding=ROUND_HALF_UP))

    assert decimals.round_half_away(value) == (expected if value >= 0 else -expected)
    assert decimals.round_half_away(-value) == -decimals.round_half_away(value)


@given(st.decimals(min_value=-(10**11), max_value=10**11, places=9))
@example(Decimal("0.00005"))
@example(Decimal("-0.00005"))
@example(Decimal("0.00004999999999999999999999999999999"))
def test_decimals_of_more_places_are_rounded_like_fractions(value: Decimal) -> None:
    assert decimals.to_units(value) == decimals.round_half_away(Fraction(value) * decimals.SCALE)
