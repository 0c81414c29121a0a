"""Regular expressions for texts, in the syntax that JSON Schema and Python share."""

FIRST_YEAR, LAST_YEAR = 1900, 2999

_MONTH_AND_DAY = (
    "(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])",
    "(0[13-9]|1[0-2])-(29|30)",
    "(0[13578]|1[02])-31",
)
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"


def _day(years: str, leap_years: str) -> str:
    return f"(({years})-({'|'.join(_MONTH_AND_DAY)})|({leap_years})-02-29)"


DATE = _day("(19|2[0-9])[0-9]{2}", "(19|2[0-9])(0[48]|[2468][048]|[13579][26])|2000|2400|2800")
"""A date from ``FIRST_YEAR`` to ``LAST_YEAR``, such as 2026-03-31."""
DATETIME = f"{DATE}([T ]{_TIME})?"
"""A date, or a date with a time, such as 2026-03-31T18:30:00+02:00."""
RECENT_DATETIME = (
    _day("19[7-9][0-9]|2[01][0-9]{2}", "19(7[26]|8[048]|9[26])|2[01](0[48]|[2468][048]|[13579][26])|2000")
    + f"([T ]{_TIME})?"
)
"""The same for the years 1970 to 2199."""
WITHOUT_NUL = r"^[^\u0000]*$"
NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
"""Not only spaces."""


def positive_integer_up_to(maximum: int) -> str:
    """Return a pattern for the whole numbers from 1 to a maximum, without leading zeros."""
    digits = str(maximum)
    parts = [f"[1-9]{_digits(len(digits) - 2, least=0)}"] if len(digits) > 1 else []
    for place, digit in enumerate(digits):
        least = 0 if place else 1
        if int(digit) > least:
            parts.append(f"{digits[:place]}[{least}-{int(digit) - 1}]{_digits(len(digits) - place - 1)}")
    return f"({'|'.join([*parts, digits])})"


def _digits(count: int, least: int | None = None) -> str:
    if count == 0:
        return ""
    return f"[0-9]{{{count}}}" if least is None else f"[0-9]{{{least},{count}}}"
