"""The layout of e-mails, conversion between HTML and plain text, and links.

Everything but the links is applied to the template, not to each message.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

LinkRewriter = Callable[[str], str]
"""Returns the URL that replaces a link; empty for a link that the message may not contain."""

MESSAGES_DIR: Final = Path(__file__).parents[1] / "templates" / "campaigns" / "messages"
_BEFORE, _, _AFTER = (
    (MESSAGES_DIR / "frame.html").read_text(encoding="utf-8").partition("<!-- the message -->")
)
_FOOTER: Final = (MESSAGES_DIR / "footer.txt").read_text(encoding="utf-8")

_TOKEN: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}")  # as Django tells them from the text
_OPEN, _CLOSE = "\ue000", "\ue001"  # characters without a meaning, around the number of a token
_MASKED: Final = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_LINK_VALUE: Final = re.compile(r"\{\{\s*(?:\w+\.)*(?:\w+_)?url\b")
_WEB_PAGE: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_HREF: Final = re.compile(r"""(<a\s[^>]*?\bhref\s*=\s*)(["'])(.*?)\2""", re.IGNORECASE | re.DOTALL)
_SAFE_LINK: Final = re.compile(r"(https?://|mailto:(?!\s)|tel:(?!\s))", re.IGNORECASE)

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


# -- Templates


def remove_tag_lines(text: str) -> str:
    """Remove the empty line that a line with only tags would leave."""
    masked, tokens = _mask(_normalize_newlines(text))
    lines = (line.strip() if _has_only_tags(line, tokens) else f"{line}\n" for line in masked.split("\n"))
    return _unmask("".join(lines), tokens)


def html_from_text(text: str) -> str:
    """Return HTML with the paragraphs, lines and links of a plain text."""
    masked, tokens = _mask(_normalize_newlines(text).strip())
    paragraphs = (_paragraph(paragraph, tokens) for paragraph in re.split(r"\n\s*\n", masked))
    return _unmask("\n".join(paragraphs), tokens)


def text_from_html(html: str) -> str:
    """Return plain text: paragraphs and lines, dashes before items, URLs after links."""
    masked, tokens = _mask(_normalize_newlines(html))
    reader = _TextExtractor()
    reader.feed(masked)
    reader.close()
    return _unmask("".join(reader.pieces).strip(), tokens)


def add_frame(html: str) -> str:
    """Add the frame of an e-mail to a fragment of HTML. A complete document stays as it is."""
    return html if is_document(html) else _BEFORE + _add_styles(html) + _AFTER


def is_document(html: str) -> bool:
    """Return whether the HTML is a complete document."""
    return bool(re.search(r"<(html|body)\b", html, re.IGNORECASE))


def add_footer(text: str) -> str:
    """Add the footer unless the text contains the unsubscribe link."""
    return text if "unsubscribe_url" in text else f"{text.rstrip()}\n\n{_FOOTER}"


def html_problems(html: str) -> list[str]:
    """Return what is not allowed in the HTML of a message: mail programs drop it, or it is unsafe on a page."""
    masked, _ = _mask(html)
    if not _is_closed(masked):  # parsing many unclosed tags would take minutes
        return ["A tag or a comment is not closed. Write < as &lt; in text."]
    reader = _Inspector()
    reader.feed(masked)
    reader.close()
    return list(dict.fromkeys(reader.problems))


def _is_closed(html: str) -> bool:
    """Return whether each tag ends before the next one starts, and each comment ends."""
    place = 0
    while opened := re.compile(r"<(!--|[a-zA-Z/!?])").search(html, place):
        is_comment = opened[1] == "!--"
        end = html.find("-->" if is_comment else ">", opened.end())
        another = -1 if is_comment else html.find("<", opened.end())
        if end < 0 or 0 <= another < end:
            return False
        place = end
    return True


def _add_styles(html: str) -> str:
    for tag, style in STYLES.items():
        html = html.replace(f"<{tag}>", f'<{tag} style="{style}">')
    return re.sub(
        r'(<p class="button"[^>]*>\s*<a)(?=\s)(?![^>]*\bstyle=)',
        rf'\1 class="button" style="{_BUTTON}"',
        html,
    )


def _normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _mask(source: str) -> tuple[str, list[str]]:
    """Replace template tags and variables by numbers, so that HTML can be parsed."""
    tokens: list[str] = []

    def number(token: re.Match[str]) -> str:
        tokens.append(token[0])
        return f"{_OPEN}{len(tokens) - 1}{_CLOSE}"

    return _TOKEN.sub(number, source.replace(_OPEN, "").replace(_CLOSE, "")), tokens


def _unmask(masked: str, tokens: Sequence[str]) -> str:
    return _MASKED.sub(lambda found: tokens[int(found[1])], masked)


def _paragraph(masked: str, tokens: Sequence[str]) -> str:
    lines = masked.split("\n")
    if all(_has_only_tags(line, tokens) for line in lines):
        return masked
    # A line of only tags prints nothing. Other lines end with a break, also inside a loop.
    told = (
        line
        if _has_only_tags(line, tokens)
        else _link_addresses(line, tokens) + ("<br>" if number < len(lines) else "")
        for number, line in enumerate(lines, start=1)
    )
    return "<p>" + "\n".join(told) + "</p>"


def _has_only_tags(line: str, tokens: Sequence[str]) -> bool:
    rest = _MASKED.sub(lambda found: "" if tokens[int(found[1])].startswith("{%") else "x", line)
    return not rest.strip() and bool(line.strip())


def _link_addresses(line: str, tokens: Sequence[str]) -> str:
    def value(found: re.Match[str]) -> str:
        is_link = _LINK_VALUE.match(tokens[int(found[1])])
        return f'<a href="{found[0]}">{found[0]}</a>' if is_link else found[0]

    pieces, end = [], 0
    for page in _WEB_PAGE.finditer(line):
        address = _without_punctuation(page[0])
        pieces += [_MASKED.sub(value, escape(line[end : page.start()], quote=False))]
        pieces += [f'<a href="{escape(address)}">{escape(address, quote=False)}</a>']
        end = page.start() + len(address)
    return "".join(pieces) + _MASKED.sub(value, escape(line[end:], quote=False))


class _TextExtractor(HTMLParser):
    """Collects the plain text of HTML."""

    UNSEEN = frozenset({"script", "style", "head", "title"})
    PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "ul", "ol", "table", "blockquote", "div"})
    LINES = frozenset({"li", "tr", "dt", "dd"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.unseen = 0
        self.links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.UNSEEN:
            self.unseen += 1
        elif tag in self.PARAGRAPHS:
            self._break(2)
        elif tag in self.LINES:
            self._break(1)
            self.pieces += ["- "] if tag == "li" else []
        elif tag == "br":
            self.pieces.append("\n")
        elif tag == "a":
            self.links.append((dict(attrs).get("href") or "", len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.UNSEEN:
            self.unseen = max(0, self.unseen - 1)
        elif tag in ("ul", "ol", "table"):
            self._break(2)
        elif tag == "a" and self.links:
            href, start = self.links.pop()
            text = "".join(self.pieces[start:]).strip()
            if href and not href.startswith("#") and href not in text:
                self.pieces.append(f": {href}" if text else href)

    def handle_data(self, data: str) -> None:
        if self.unseen:
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
        there = len(end) - len(end.rstrip("\n"))
        if self.pieces and there < lines:
            self.pieces.append("\n" * (lines - there))


class _Inspector(HTMLParser):
    """Collects what is not allowed in a message."""

    ACTIVE = frozenset(
        {"script", "iframe", "object", "embed", "form", "input", "textarea", "select", "base", "link", "svg", "math"}
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_style = tag == "style"
        if tag in self.ACTIVE:
            self.problems.append(f"<{tag}> is not allowed in a message.")
        if re.search(rf"=\s*{_OPEN}", self.get_starttag_text() or ""):
            self.problems.append(f"Put the attribute values of <{tag}> in quotes.")
        for name, value in attrs:
            if name.startswith("on"):
                self.problems.append(f"{name}=… of <{tag}> is not allowed in a message.")
            if name in ("href", "src") and re.match(r"\s*(javascript|data|vbscript):", value or "", re.I):
                self.problems.append(f"{name} of <{tag}> is not a web address: {value}.")
            if _OPEN in name:
                self.problems.append(f"Put {{{{ … }}}} inside an attribute value of <{tag}>.")

    def handle_endtag(self, tag: str) -> None:
        self.is_style = False

    def handle_data(self, data: str) -> None:
        if self.is_style and _OPEN in data:
            self.problems.append("A value is not allowed in <style>.")


# -- Messages


def rewrite_html_links(html: str, follow: LinkRewriter) -> str:
    """Replace the links of a message. A link that is not allowed becomes ``#``."""

    def lead(link: re.Match[str]) -> str:
        url = unescape(link[3]).strip()
        there = follow(url) if _SAFE_LINK.match(url) else ""
        return f'{link[1]}"{escape(there or "#")}"'

    return _HREF.sub(lead, html)


def rewrite_text_links(text: str, follow: LinkRewriter) -> str:
    """Replace the URLs in a plain text. URLs that are not allowed are removed."""

    def lead(page: re.Match[str]) -> str:
        url = _without_punctuation(page[0])
        return follow(url) + page[0][len(url) :]

    return _WEB_PAGE.sub(lead, text)


def collapse_blank_lines(text: str) -> str:
    """Reduce several empty lines to one."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"


def _without_punctuation(url: str) -> str:
    shorter = url.rstrip(".,;:!?")
    return shorter[:-1] if shorter.endswith(")") and "(" not in shorter else shorter
