"""Translates the date formats of Liquid, which are those of ``strftime``, to Django's.

``strftime`` itself would write in the language of the operating system, and accept widths of any size.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

DIRECTIVES: Final[Mapping[str, str]] = {
    "%d": "d", "%-d": "j", "%e": "j", "%m": "m", "%-m": "n", "%B": "F", "%b": "M", "%h": "M", "%A": "l", "%a": "D",
    "%Y": "Y", "%y": "y", "%F": "Y-m-d", "%D": "m/d/y",
    "%H": "H", "%-H": "G", "%k": "G", "%I": "h", "%-I": "g", "%l": "g", "%M": "i", "%S": "s", "%p": "A", "%Z": "T",
    "%z": "O", "%T": "H:i:s", "%R": "H:i", "%%": "%",
}  # fmt: skip

_DIRECTIVE: Final = re.compile(r"%-?.|%$", re.DOTALL)


class InvalidDateFormat(ValueError):
    """A date format that cannot be used. The text says why."""


@lru_cache(maxsize=256)
def django_date_format(date_format: str) -> str:
    """Return the format for ``django.utils.dateformat``. Raises InvalidDateFormat."""
    if date_format and "%" not in date_format:
        raise InvalidDateFormat(f"{date_format!r} is not a date format, such as '%d/%m/%Y'.")
    pieces, end = [], 0
    for found in _DIRECTIVE.finditer(date_format):
        pieces += [_literal(date_format[end : found.start()]), _translate(found[0])]
        end = found.end()
    return "".join([*pieces, _literal(date_format[end:])])


def _translate(directive: str) -> str:
    if directive not in DIRECTIVES:
        raise InvalidDateFormat(
            f"A date cannot be formatted with {directive!r}; there are {', '.join(DIRECTIVES)}."
        )
    return DIRECTIVES[directive]


def _literal(text: str) -> str:
    return re.sub(r"(.)", r"\\\1", text, flags=re.DOTALL)
