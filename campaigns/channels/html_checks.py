"""What HTML may not contain in a message.

``nh3`` reads it as browsers do. Python's parser finds what only concerns templates, and names it better.
"""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

import nh3

from .template_masking import OPEN, mask

FORBIDDEN_TAGS: Final = frozenset(
    {
        "script", "iframe", "object", "embed", "applet", "form", "input", "textarea", "select", "base", "link", "svg",
        "math", "frame", "frameset", "noscript", "noembed", "noframes", "plaintext", "xmp", "template",
    }
)  # fmt: skip
URL_ATTRIBUTES: Final = frozenset(
    {"href", "src", "action", "formaction", "background", "poster", "xlink:href"}
)

_QUOTED: Final = re.compile("\"[^\"]*\"|'[^']*'")
_TAG_START: Final = re.compile(r"<(!--|[a-zA-Z/!?])")
_SCRIPT_SCHEME: Final = re.compile(r"(javascript|data|vbscript):", re.IGNORECASE)
_IGNORED_IN_URLS: Final = re.compile(r"[\x00-\x20]")
_PAGE_TAG: Final = re.compile(r"<(html|head|body)(?=[\s/>])", re.IGNORECASE)
_VALUE_IN_NAME: Final = re.compile(rf"</?[a-zA-Z0-9:-]*{OPEN}")
_SEEN_TAG: Final = re.compile(r"<([a-z]+)")


def html_problems(html: str) -> list[str]:
    """Return what is not allowed in the HTML of a message: mail programs drop it, or it is unsafe on a page."""
    masked, tokens = mask(html)
    if not _is_closed(masked):  # parsing many unclosed tags would take minutes
        return ["A tag or a comment is not closed. Write < as &lt; in text."]
    if _VALUE_IN_NAME.search(masked):
        return ["A value is not allowed in the name of a tag. Write < as &lt; in text."]
    checker = _TemplateChecker()
    checker.feed(masked)
    checker.close()
    problems = [*checker.problems, *_browser_problems(masked), *_literal_problems(tokens)]
    return list(dict.fromkeys(problems))


def _is_closed(html: str) -> bool:
    """Return whether each tag ends before the next one starts, and each comment ends for every program alike."""
    position = 0
    while opened := _TAG_START.search(html, position):
        is_comment = opened[1] == "!--"
        end = html.find("-->" if is_comment else ">", opened.end())
        next_tag = -1 if is_comment else html.find("<", opened.end())
        if end < 0 or 0 <= next_tag < end:
            return False
        if is_comment and re.search(r"^-?>|--\s*!?\s*>", html[opened.end() : end]):
            return False
        if html.startswith("<![", opened.start()) and not re.match(
            r"if\b|endif\]", html[opened.start() + 3 :]
        ):
            return False
        position = end
    return True


def _browser_problems(masked: str) -> list[str]:
    """Return the tags, handlers and URLs that a browser would find in HTML and that are not allowed."""
    problems = []

    def check(tag: str, name: str, value: str) -> str:
        if problem := _attribute_problem(tag, name, value):
            problems.append(problem)
        return value

    # The attributes of a whole page are read only if they belong to an element inside of it.
    cleaned = nh3.clean(
        _PAGE_TAG.sub("<div", masked),
        tags=set(FORBIDDEN_TAGS),
        clean_content_tags=set(),
        attribute_filter=check,
        link_rel=None,
    )
    found = dict.fromkeys(_SEEN_TAG.findall(cleaned))
    return [_forbidden_tag(tag) for tag in found if tag in FORBIDDEN_TAGS] + problems


def _attribute_problem(tag: str, name: str, value: str) -> str:
    if name.startswith("on"):
        return f"{name}=… of <{tag}> is not allowed in a message."
    if name in URL_ATTRIBUTES and _SCRIPT_SCHEME.match(_IGNORED_IN_URLS.sub("", value)):
        return f"{name} of <{tag}> is not a web address: {value}."
    if name == "http-equiv" and value.strip().lower() == "refresh":
        return "A message cannot open another page by itself: remove <meta http-equiv=refresh>."
    return ""


def _forbidden_tag(tag: str) -> str:
    return f"<{tag}> is not allowed in a message."


def _literal_problems(tokens: Sequence[str]) -> list[str]:
    """Return the problem of tags in the quoted texts of values: they are printed as they are written, not as HTML."""
    quoted = (text for token in tokens for text in _QUOTED.findall(token) if _TAG_START.search(text))
    return [
        f"Write {text[:40]} outside of {{{{ … }}}}: a text in quotes is printed as it is written."
        for text in quoted
    ]


class _TemplateChecker(HTMLParser):
    """Collects what is not allowed in the template of a message."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        if tag in FORBIDDEN_TAGS:
            self.problems.append(_forbidden_tag(tag))
        if re.search(rf"=\s*{OPEN}", _QUOTED.sub('""', self.get_starttag_text() or "")):
            self.problems.append(f"Put the attribute values of <{tag}> in quotes.")
        for name, value in attrs:
            if problem := _attribute_problem(tag, name, value or ""):
                self.problems.append(problem)
            if OPEN in name:
                self.problems.append(f"Put {{{{ … }}}} inside an attribute value of <{tag}>.")

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style and OPEN in data:
            self.problems.append("A value is not allowed in <style>.")
