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
from django.conf import settings

MESSAGES_DIR: Final = Path(__file__).parents[1] / "templates" / "campaigns" / "messages"
_START, _END = "<!-- the message -->", "<!-- the end of the message -->"
_BEFORE, _, _AFTER = mrml.to_html(
    (MESSAGES_DIR / "frame.mjml").read_text(encoding="utf-8")
).content.partition(_START)
_FOOTER: Final = (MESSAGES_DIR / "footer.txt").read_text(encoding="utf-8")

_INLINER: Final = css_inline.CSSInliner(load_remote_stylesheets=False)
_STYLES: Final = """
h1 { margin: 0 0 16px; font-size: 24px; line-height: 32px; font-weight: 700 }
h2 { margin: 24px 0 12px; font-size: 18px; line-height: 26px; font-weight: 700 }
p { margin: 0 0 16px }
ul, ol { margin: 0 0 16px; padding: 0 0 0 20px }
li { margin: 0 0 4px }
a { color: COLOUR }
hr { margin: 24px 0; border: 0; border-top: 1px solid #d5d8dc }
.button { margin: 24px 0 }
.button a { display: inline-block; padding: 12px 24px; border-radius: 6px; background: COLOUR; color: ON_COLOUR;
  font-weight: 700; text-decoration: none }
.coupon { margin: 24px 0; padding: 12px 16px; border: 2px dashed #8a8f98; border-radius: 6px; font-size: 20px;
  line-height: 28px; font-weight: 700; letter-spacing: 1px; text-align: center }
.picture { margin: 0 0 24px }
.picture img { display: block; width: 100%; height: auto; border-radius: 6px }
.product { width: 100%; margin: 0 0 12px; padding: 0 0 12px; border-bottom: 1px solid #d5d8dc }
.product td { padding: 0 0 12px; vertical-align: top }
.product .product-picture { width: 112px }
.product-picture img { display: block; width: 96px; height: auto; border-radius: 6px }
.footer, .footer p { margin: 24px 0 0; font-size: 13px; line-height: 20px; color: #5a616b }
"""


def add_frame(html: str) -> str:
    """Add the frame of an e-mail to a fragment of HTML. A complete document stays as it is."""
    return html if is_document(html) else f"{_BEFORE}{_START}{html}{_END}{_AFTER}"


def add_styles(html: str) -> str:
    """Write the styles into the tags of a rendered message that has the frame. Styles of its author stay."""
    before, _, rest = html.partition(_START)
    message, end, after = rest.partition(_END)
    if not end:
        return html
    return before + _INLINER.inline_fragment(message, style_sheet(settings.SHOP_COLOUR)) + after


def is_document(html: str) -> bool:
    """Return whether the HTML is a complete document."""
    return bool(re.search(r"<(html|body)\b", html, re.IGNORECASE))


def add_footer(text: str) -> str:
    """Add the footer unless the text contains the unsubscribe link."""
    return text if "unsubscribe_url" in text else f"{text.rstrip()}\n\n{_FOOTER}"


@lru_cache(maxsize=8)
def style_sheet(colour: str) -> str:
    """Return the styles with the shop's colour, and black or white on it, whichever can be read better."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]  # WCAG 2
    on_colour = "#ffffff" if luminance <= 0.179 else "#14161a"
    return _STYLES.replace("ON_COLOUR", on_colour).replace("COLOUR", colour)
