"""Replaces the tags and variables of a template by placeholders, so that its HTML can be parsed."""

import re
from collections.abc import Sequence
from typing import Final

_TOKEN: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}")
OPEN, CLOSE = "\ue000", "\ue001"  # characters without a meaning, around the number of a token
PLACEHOLDER: Final = re.compile(f"{OPEN}([0-9]+){CLOSE}")


def mask(source: str) -> tuple[str, list[str]]:
    """Return the template with placeholders, and the tags and variables that they stand for."""
    tokens: list[str] = []

    def placeholder(token: re.Match[str]) -> str:
        tokens.append(token[0])
        return f"{OPEN}{len(tokens) - 1}{CLOSE}"

    return _TOKEN.sub(placeholder, source.replace(OPEN, "").replace(CLOSE, "")), tokens


def unmask(masked: str, tokens: Sequence[str]) -> str:
    return PLACEHOLDER.sub(lambda placeholder: tokens[int(placeholder[1])], masked)
