"""What HTML may not contain in a message."""

import re
from html.parser import HTMLParser
from typing import Final

from .template_masking import OPEN, mask

_QUOTED: Final = re.compile("\"[^\"]*\"|'[^']*'")
_TAG_START: Final = re.compile(r"<(!--|[a-zA-Z/!?])")


def html_problems(html: str) -> list[str]:
    """Return what is not allowed in the HTML of a message: mail programs drop it, or it is unsafe on a page."""
    masked, _ = mask(html)
    if not _is_closed(masked):  # parsing many unclosed tags would take minutes
        return ["A tag or a comment is not closed. Write < as &lt; in text."]
    checker = _Checker()
    checker.feed(masked)
    checker.close()
    return list(dict.fromkeys(checker.problems))


def _is_closed(html: str) -> bool:
    """Return whether each tag ends before the next one starts, and each comment ends."""
    position = 0
    while opened := _TAG_START.search(html, position):
        is_comment = opened[1] == "!--"
        end = html.find("-->" if is_comment else ">", opened.end())
        next_tag = -1 if is_comment else html.find("<", opened.end())
        if end < 0 or 0 <= next_tag < end:
            return False
        position = end
    return True


class _Checker(HTMLParser):
    """Collects what is not allowed in a message."""

    FORBIDDEN_TAGS = frozenset(
        {"script", "iframe", "object", "embed", "form", "input", "textarea", "select", "base", "link", "svg", "math"}
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        if tag in self.FORBIDDEN_TAGS:
            self.problems.append(f"<{tag}> is not allowed in a message.")
        if re.search(rf"=\s*{OPEN}", _QUOTED.sub('""', self.get_starttag_text() or "")):
            self.problems.append(f"Put the attribute values of <{tag}> in quotes.")
        for name, value in attrs:
            if name.startswith("on"):
                self.problems.append(f"{name}=… of <{tag}> is not allowed in a message.")
            if name in ("href", "src") and re.match(r"\s*(javascript|data|vbscript):", value or "", re.I):
                self.problems.append(f"{name} of <{tag}> is not a web address: {value}.")
            if OPEN in name:
                self.problems.append(f"Put {{{{ … }}}} inside an attribute value of <{tag}>.")

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style and OPEN in data:
            self.problems.append("A value is not allowed in <style>.")
