"""Replaces the links in rendered messages."""

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Final

LinkRewriter = Callable[[str], str]
"""Returns the URL that replaces a link; empty for a link that the message may not contain."""

WEB_URL: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_HREF: Final = re.compile(r"""(<a\s[^>]*?\bhref\s*=\s*)(["'])(.*?)\2""", re.IGNORECASE | re.DOTALL)
_SRC: Final = re.compile(r"""(<img\s[^>]*?\bsrc\s*=\s*)(["'])(.*?)\2""", re.IGNORECASE | re.DOTALL)
_SAFE_LINK: Final = re.compile(r"(https?://|mailto:(?!\s)|tel:(?!\s))", re.IGNORECASE)


def rewrite_html_links(html: str, rewrite: LinkRewriter) -> str:
    """Replace the links in HTML. A link that is not allowed becomes ``#``, and an image that is none is emptied."""

    def replacement(link: re.Match[str]) -> str:
        url = unescape(link[3]).strip()
        target = rewrite(url) if _SAFE_LINK.match(url) else ""
        return f'{link[1]}"{escape(target or "#")}"'

    def image(source: re.Match[str]) -> str:
        return source[0] if WEB_URL.match(unescape(source[3]).strip()) else f'{source[1]}""'

    return _SRC.sub(image, _HREF.sub(replacement, html))


def html_urls(html: str) -> list[str]:
    """Return the URLs of links and pictures in HTML."""
    return [unescape(found[3]).strip() for pattern in (_HREF, _SRC) for found in pattern.finditer(html)]


def text_urls(text: str) -> list[str]:
    """Return the URLs in a plain text."""
    return [strip_punctuation(found[0]) for found in WEB_URL.finditer(text)]


def rewrite_text_links(text: str, rewrite: LinkRewriter) -> str:
    """Replace the URLs in a plain text. URLs that are not allowed are removed."""

    def replacement(found: re.Match[str]) -> str:
        url = strip_punctuation(found[0])
        return rewrite(url) + found[0][len(url) :]

    return WEB_URL.sub(replacement, text)


def strip_punctuation(url: str) -> str:
    """Return a URL found in a text without the punctuation that ends the sentence around it."""
    shorter = url.rstrip(".,;:!?")
    return shorter[:-1] if shorter.endswith(")") and "(" not in shorter else shorter
