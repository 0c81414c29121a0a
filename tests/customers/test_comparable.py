"""Values of attributes as texts whose bytes sort like the values."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.values import sortable_values

BERLIN = ZoneInfo("Europe/Berlin")
NUMBERS = (
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
    | st.integers().map(Decimal)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Decimal(repr(number)))
    | st.builds(
        lambda digits, exponent: Decimal(digits).scaleb(exponent),
        st.integers(-999, 999),
        st.integers(-40, 40),
    )
)
MOMENTS = st.datetimes(datetime(1000, 1, 2), datetime(9000, 1, 1), timezones=st.sampled_from([UTC, BERLIN]))  # noqa: DTZ001


def encoded(number: Decimal) -> bytes:
    return sortable_values.encode_number(number).encode()


@given(NUMBERS, NUMBERS)
@example(Decimal("-1.5"), Decimal("-1"))
@example(Decimal("-0"), Decimal("0.0"))
@example(Decimal("1E+1"), Decimal("10.0"))
@example(Decimal("9.99"), Decimal("10"))
@example(Decimal(9007199254740993), Decimal(9007199254740992))
def test_numbers_sort_like_their_encoded_texts(one: Decimal, other: Decimal) -> None:
    assert (encoded(one) < encoded(other)) == (one < other)
    assert (encoded(one) == encoded(other)) == (one == other)


@given(NUMBERS)
def test_neighbouring_numbers_have_different_encodings(number: Decimal) -> None:
    wide = number.as_tuple()
    assert isinstance(wide.exponent, int)
    step = Decimal(1).scaleb(wide.exponent)
    if len(wide.digits) < 25:
        forms = [encoded(number - step), encoded(number), encoded(number + step)]
        assert all(low < high for low, high in pairwise(forms))


@given(MOMENTS, MOMENTS)
def test_datetimes_sort_like_their_encoded_texts(one: datetime, other: datetime) -> None:
    assert (sortable_values.encode_datetime(one) < sortable_values.encode_datetime(other)) == (one < other)
    assert (sortable_values.encode_datetime(one) == sortable_values.encode_datetime(other)) == (one == other)


@given(st.text(), NUMBERS, MOMENTS)
def test_values_of_different_kinds_do_not_mix_when_sorted(
    text: str, number: Decimal, moment: datetime
) -> None:
    kinds = [
        sortable_values.encode_text(text),
        sortable_values.encode_number(number),
        sortable_values.encode_datetime(moment),
    ]

    assert sorted(kinds) == [kinds[2], kinds[1], kinds[0]]


@given(st.text(min_size=1))
def test_an_attribute_that_is_neither_number_nor_date_is_its_text(text: str) -> None:
    shown, form = sortable_values.parse_attribute(text, BERLIN)

    if form[0] == sortable_values.TEXT:
        assert (shown, form) == (text, sortable_values.encode_text(text))
    elif form[0] == sortable_values.NUMBER:
        assert form == sortable_values.encode_number(Decimal(text))


@pytest.mark.parametrize(
    "text",
    ["01234", "+1", "1e5", "1.", ".5", "- 1", "1,5", "٣", "NaN", "2026-02-30", "2026-03-15x", "15.03.2026"],
)
def test_text_that_only_resembles_a_number_or_date_stays_text(text: str) -> None:
    assert sortable_values.parse_attribute(text, BERLIN) == (text, sortable_values.encode_text(text))


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-3.50", -3.5), ("42", 42), ("0.1", 0.1), ("-0", 0)])
def test_numbers_are_shown_as_numbers(text: str, number: float) -> None:
    assert sortable_values.parse_attribute(text, BERLIN) == (
        number,
        sortable_values.encode_number(Decimal(text)),
    )


def test_a_number_that_json_cannot_represent_is_shown_as_text_and_compared_exactly() -> None:
    shown, form = sortable_values.parse_attribute("0.30000000000000000001", BERLIN)

    assert shown == "0.30000000000000000001"
    assert form > sortable_values.encode_number(Decimal("0.3"))


def test_a_date_is_midnight_in_the_shops_zone() -> None:
    assert (
        sortable_values.parse_attribute("2026-03-15", BERLIN)[1]
        == sortable_values.parse_attribute("2026-03-14T23:00:00Z", BERLIN)[1]
    )
    assert (
        sortable_values.parse_attribute("2026-03-15T10:00", BERLIN)[1]
        == sortable_values.parse_attribute("2026-03-15T09:00:00+00:00", UTC)[1]
    )


@given(st.text(), st.text())
def test_attribute_names_stay_distinct_in_json_paths(one: str, other: str) -> None:
    if one.isprintable() and other.isprintable():
        assert (sortable_values.json_key(one) == sortable_values.json_key(other)) == (one == other)
        assert sortable_values.json_key(one).isascii()
