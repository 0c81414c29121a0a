"""The frame, styles and footer of e-mails. They are applied to the template, not to each message."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MESSAGES_DIR: Final = Path(__file__).parents[1] / "templates" / "campaigns" / "messages"
_BEFORE, _, _AFTER = (
    (MESSAGES_DIR / "frame.html").read_text(encoding="utf-8").partition("<!-- the message -->")
)
_FOOTER: Final = (MESSAGES_DIR / "footer.txt").read_text(encoding="utf-8")

# Mail programs drop style sheets, so tags without a style get one.
STYLES: Final[Mapping[str, str]] = {
    "h1": "margin:0 0 16px;font-size:24px;line-height:32px;font-weight:700",
    "h2": "margin:24px 0 8px;font-size:18px;line-height:26px;font-weight:700",
    "p": "margin:0 0 16px",
    "ul": "margin:0 0 16px;padding:0 0 0 20px",
    "ol": "margin:0 0 16px;padding:0 0 0 20px",
    "li": "margin:0 0 4px",
    'p class="button"': "margin:24px 0",
    'p class="coupon"': "margin:24px 0;padding:12px 16px;border:2px dashed #8a8f98;border-radius:6px;"
    "font-size:20px;line-height:28px;font-weight:700;letter-spacing:1px;text-align:center",
    'p class="product"': "margin:0 0 12px;padding:0 0 12px;border-bottom:1px solid #d5d8dc",
}
_BUTTON: Final = (
    "display:inline-block;padding:12px 24px;border-radius:6px;background:#1f5fbf;color:#ffffff;"
    "font-weight:700;text-decoration:none"
)


def add_frame(html: str) -> str:
    """Add the frame of an e-mail to a fragment of HTML. A complete document stays as it is."""
    return html if is_document(html) else _BEFORE + _add_styles(html) + _AFTER


def is_document(html: str) -> bool:
    """Return whether the HTML is a complete document."""
    return bool(re.search(r"<(html|body)\b", html, re.IGNORECASE))


def add_footer(text: str) -> str:
    """Add the footer unless the text contains the unsubscribe link."""
    return text if "unsubscribe_url" in text else f"{text.rstrip()}\n\n{_FOOTER}"


def _add_styles(html: str) -> str:
    for tag, style in STYLES.items():
        html = html.replace(f"<{tag}>", f'<{tag} style="{style}">')
    return re.sub(
        r'(<p class="button"[^>]*>\s*<a)(?=\s)(?![^>]*\bstyle=)',
        rf'\1 class="button" style="{_BUTTON}"',
        html,
    )
