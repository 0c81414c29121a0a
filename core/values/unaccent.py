"""Names as they are searched for: in ASCII, without accents and in lower case."""

import re
from functools import lru_cache
from typing import Final

from anyascii import anyascii

_APOSTROPHES: Final = re.compile(r"['`]")
_SEPARATORS: Final = re.compile(r"[\s,;()-]+")


@lru_cache(maxsize=4096)
def unaccent(text: str) -> str:
    """Return a text in lower-case ASCII: ``Müller-Łuc`` is ``muller luc``, ``D’Angelo`` is ``dangelo``.

    Other scripts are transliterated, so that a name is found in its own letters and in Latin ones.
    """
    folded = (text if text.isascii() else anyascii(text)).lower()
    return _SEPARATORS.sub(" ", _APOSTROPHES.sub("", folded)).strip()
