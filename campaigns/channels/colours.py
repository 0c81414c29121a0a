"""Colours that can be read: the shop's colour on light and on dark, and text on it, by the contrast of WCAG 2."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

WHITE: Final = "#ffffff"
BLACK: Final = "#14161a"
FULL_BLACK: Final = "#000000"
LIGHT_CARD, DARK_CARD = WHITE, "#1c1f24"
TEXT_CONTRAST: Final = 4.5
SHAPE_CONTRAST: Final = 3.0
_STEPS: Final = 20

Rgb = tuple[int, int, int]


@lru_cache(maxsize=8)
def palette(colour: str) -> Mapping[str, str]:
    """Return the colours of a message in a shop's colour, by name; all are written as ``#rrggbb``."""
    dark = readable(colour, DARK_CARD, SHAPE_CONTRAST)
    return {
        "colour": colour,
        "on-colour": text_on(colour),
        "link": readable(colour, LIGHT_CARD, TEXT_CONTRAST),
        "dark-card": DARK_CARD,
        "dark-colour": dark,
        "on-dark-colour": text_on(dark),
        "dark-link": readable(colour, DARK_CARD, TEXT_CONTRAST),
    }


def text_on(colour: str) -> str:
    """Return black or white, whichever can be read better on a colour; a black that is full where it has to be."""
    text = max(WHITE, BLACK, key=lambda text: contrast(text, colour))
    return text if contrast(text, colour) >= TEXT_CONTRAST else FULL_BLACK


def readable(colour: str, background: str, least: float) -> str:
    """Return the colour, mixed with black or white as far as it needs to have at least this contrast."""
    target = _parse(text_on(background))
    start = _parse(colour)
    for step in range(_STEPS + 1):
        mixed = tuple(
            round(one + (other - one) * step / _STEPS) for one, other in zip(start, target, strict=True)
        )
        text = "#{:02x}{:02x}{:02x}".format(*mixed)
        if contrast(text, background) >= least:
            return text
    return text_on(background)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in _parse(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parse(colour: str) -> Rgb:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
