"""Converts the templates of messages between plain text and HTML."""

import re
from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from typing import Final

from campaigns.links.link_rewriting import WEB_URL, strip_punctuation

from .template_masking import PLACEHOLDER, mask, unmask

_LINK_VALUE: Final = re.compile(r"\{\{-?\s*(?:\w+(?:\[\d+\])?\.)*(?:\w+_)?url\b")


def remove_tag_lines(text: str) -> str:
    """Remove the empty line that a line with only tags would leave."""
    masked, tokens = mask(_normalize_newlines(text))
    lines = (line.strip() if _has_only_tags(line, tokens) else f"{line}\n" for line in masked.split("\n"))
    return unmask("".join(lines), tokens)


def html_from_text(text: str) -> str:
    """Return HTML with the paragraphs, lines and links of a plain text."""
    masked, tokens = mask(_normalize_newlines(text).strip())
    paragraphs = (_paragraph(paragraph, tokens) for paragraph in re.split(r"\n\s*\n", masked))
    return unmask("\n".join(paragraphs), tokens)


def text_from_html(html: str) -> str:
    """Return plain text: paragraphs and lines, dashes before items, URLs after links."""
    masked, tokens = mask(_normalize_newlines(html))
    extractor = _TextExtractor()
    extractor.feed(masked)
    extractor.close()
    return unmask("".join(extractor.pieces).strip(), tokens)


def collapse_blank_lines(text: str) -> str:
    """Reduce several empty lines to one."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"


def _normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _paragraph(masked: str, tokens: Sequence[str]) -> str:
    lines = masked.split("\n")
    if all(_has_only_tags(line, tokens) for line in lines):
        return masked
    # A line of only tags prints nothing. Other lines end with a break, also inside a loop.
    html_lines = (
        line
        if _has_only_tags(line, tokens)
        else _link_urls(line, tokens) + ("<br>" if number < len(lines) else "")
        for number, line in enumerate(lines, start=1)
    )
    return "<p>" + "\n".join(html_lines) + "</p>"


def _has_only_tags(line: str, tokens: Sequence[str]) -> bool:
    without_tags = PLACEHOLDER.sub(
        lambda placeholder: "" if tokens[int(placeholder[1])].startswith("{%") else "x", line
    )
    return not without_tags.strip() and bool(line.strip())


def _link_urls(line: str, tokens: Sequence[str]) -> str:
    def link_variable(placeholder: re.Match[str]) -> str:
        is_link = _LINK_VALUE.match(tokens[int(placeholder[1])])
        return f'<a href="{placeholder[0]}">{placeholder[0]}</a>' if is_link else placeholder[0]

    pieces, end = [], 0
    for found in WEB_URL.finditer(line):
        url = strip_punctuation(found[0])
        pieces.append(PLACEHOLDER.sub(link_variable, escape(line[end : found.start()], quote=False)))
        pieces.append(f'<a href="{escape(url)}">{escape(url, quote=False)}</a>')
        end = found.start() + len(url)
    return "".join(pieces) + PLACEHOLDER.sub(link_variable, escape(line[end:], quote=False))


class _TextExtractor(HTMLParser):
    """Collects the plain text of HTML."""

    HIDDEN_TAGS = frozenset({"script", "style", "head", "title"})
    PARAGRAPH_TAGS = frozenset({"p", "h1", "h2", "h3", "h4", "ul", "ol", "table", "blockquote", "div"})
    LINE_TAGS = frozenset({"li", "tr", "dt", "dd"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.hidden_depth = 0
        self.links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.HIDDEN_TAGS:
            self.hidden_depth += 1
        elif tag in self.PARAGRAPH_TAGS:
            self._break(2)
        elif tag in self.LINE_TAGS:
            self._break(1)
            self.pieces += ["- "] if tag == "li" else []
        elif tag == "br":
            self.pieces.append("\n")
        elif tag == "a":
            self.links.append((dict(attrs).get("href") or "", len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.HIDDEN_TAGS:
            self.hidden_depth = max(0, self.hidden_depth - 1)
        elif tag in ("ul", "ol", "table"):
            self._break(2)
        elif tag == "a" and self.links:
            href, start = self.links.pop()
            text = "".join(self.pieces[start:]).strip()
            if href and not href.startswith("#") and href not in text:
                self.pieces.append(f": {href}" if text else href)

    def handle_data(self, data: str) -> None:
        if self.hidden_depth:
            return
        text = re.sub(r"\s+", " ", data)
        if text.startswith(" ") and (not self.pieces or self.pieces[-1].endswith(("\n", " "))):
            text = text[1:]
        if text:
            self.pieces.append(text)

    def _break(self, lines: int) -> None:
        if self.pieces and self.pieces[-1].endswith(" ") and self.pieces[-1] != "- ":
            self.pieces[-1] = self.pieces[-1].rstrip()
        end = "".join(self.pieces[-2:])
        present = len(end) - len(end.rstrip("\n"))
        if self.pieces and present < lines:
            self.pieces.append("\n" * (lines - present))
