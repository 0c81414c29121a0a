"""The frame, styles and footer of e-mails.

The frame and the footer are added to the template. The styles are written into the tags of each rendered message,
because mail programs drop style sheets.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import css_inline
import mrml

from core.shop import shop

from . import colours

LAYOUT_DIR: Final = Path(__file__).parents[1] / "templates" / "campaigns" / "messages"
_PREHEADER, _START, _END = "<!-- the preheader -->", "<!-- the message -->", "<!-- the end of the message -->"
_FRAME: Final = mrml.to_html((LAYOUT_DIR / "frame.mjml").read_text(encoding="utf-8")).content
_HEAD, _, _REST = _FRAME.partition(_PREHEADER)
_TOP, _, _BOTTOM = _REST.partition(_START)
_FOOTER: Final = (LAYOUT_DIR / "footer.txt").read_text(encoding="utf-8")
_FOOTER_START: Final = "\n--\n"  # rendering removes the space at the end of its first line

_INLINER: Final = css_inline.CSSInliner(load_remote_stylesheets=False)
_STYLES: Final = (LAYOUT_DIR / "styles.css").read_text(encoding="utf-8")
_COLOUR: Final = re.compile(r"var\(--([a-z-]+)\)")
_HIDDEN_DIV: Final = re.compile(r'<div class="preheader".*?</div>', re.DOTALL)


def add_frame(html: str) -> str:
    """Add the frame of an e-mail to a fragment of HTML. A complete document stays as it is.

    A preheader at the start of the fragment comes first, before the name of the shop.
    """
    if is_document(html):
        return html
    found = _HIDDEN_DIV.match(html)
    preheader = found[0] if found else ""
    return f"{_HEAD}{preheader}{_TOP}{_START}{html[len(preheader) :]}{_END}{_BOTTOM}"


def add_styles(html: str) -> str:
    """Write the styles into the tags of a rendered message that has the frame. Styles of its author stay."""
    before, _, rest = html.partition(_START)
    message, end, after = rest.partition(_END)
    if not end:
        return html
    colour = shop().colour
    return _fill_in(before, colour) + _INLINER.inline_fragment(message, style_sheet(colour)) + after


def is_document(html: str) -> bool:
    """Return whether the HTML is a complete document."""
    return bool(re.search(r"<(html|body)\b", html, re.IGNORECASE))


def add_footer(text: str) -> str:
    """Add the footer unless the text contains the unsubscribe link."""
    return text if "unsubscribe_url" in text else f"{text.rstrip()}\n\n{_FOOTER}"


def without_footer(text: str) -> str:
    """Return a rendered text without the footer that was added to it."""
    before, line, _ = f"\n{text}".rpartition(_FOOTER_START)
    return before if line else text


@lru_cache(maxsize=8)
def style_sheet(colour: str) -> str:
    """Return the styles with the colours of a shop."""
    return _fill_in(_STYLES, colour)


def _fill_in(source: str, colour: str) -> str:
    palette = colours.palette(colour)
    return _COLOUR.sub(lambda name: palette.get(name[1], name[0]), source)
