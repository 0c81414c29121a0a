"""The forms of a page as a browser sends them: read from its HTML, filled in where they are empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

Attributes = dict[str, str | None]


@dataclass
class Form:
    """One form: where it goes, and what it says as it stands."""

    action: str
    method: str
    id: str = ""
    values: list[tuple[str, str]] = field(default_factory=list)
    empty: dict[str, str] = field(default_factory=dict)
    """The fields without a value that must have one, or may: by name, with the kind of their input."""
    choices: dict[str, str] = field(default_factory=dict)
    """Where nothing is chosen: the first that could be."""
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def saves(self) -> bool:
        """Tell the form of a row, which the admin draws."""
        return self.id.endswith("_form") and self.method == "post" and self.id != "logout-form"

    def as_it_stands(self, **given: Any) -> dict[str, list[str]]:
        """What a person sends who changes nothing but what is named here."""
        sent: dict[str, list[str]] = {}
        for name, value in self.values:
            sent.setdefault(name, []).append(value)
        return sent | {name: value if isinstance(value, list) else [value] for name, value in given.items()}

    def filled(self, **given: Any) -> dict[str, list[str]]:
        """What a person sends who writes something into every empty field, and gives what is named here."""
        sent = self.as_it_stands()
        for name, kind in self.empty.items():
            sent.setdefault(name, [_SOMETHING.get(kind, "something")])
        sent |= {name: [value] for name, value in self.choices.items()}
        return sent | {name: value if isinstance(value, list) else [value] for name, value in given.items()}


_SOMETHING = {
    "number": "1",
    "date": "2026-12-01",
    "time": "12:00",
    "datetime-local": "2026-12-01T12:00",
    "email": "somebody@shop.example",
    "url": "https://shop.example/",
    "password": "a long enough secret",
}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select: tuple[str, list[tuple[str, bool]], bool] | None = None
        self._text: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "form":
            self._form = Form(
                given.get("action") or "", (given.get("method") or "get").lower(), given.get("id") or ""
            )
            self.forms.append(self._form)
        if self._form is None or "disabled" in given:
            return
        match tag:
            case "input" if name:
                self._read_input(self._form, name, given)
            case "button" if name:
                self._form.buttons.append((name, given.get("value") or ""))
            case "select" if name:
                self._select = (name, [], "multiple" in given)
            case "option" if self._select:
                self._select[1].append((given.get("value") or "", "selected" in given))
            case "textarea" if name:
                self._text = (name, [])

    def _read_input(self, form: Form, name: str, given: Attributes) -> None:
        kind, value = given.get("type") or "text", given.get("value") or ""
        if kind in ("checkbox", "radio"):
            if "checked" in given:
                form.values.append((name, value or "on"))
        elif kind == "submit":
            form.buttons.append((name, value))
        elif kind != "file" and value:
            form.values.append((name, value))
        elif kind not in ("file", "hidden"):
            form.empty[name] = kind

    def handle_data(self, data: str) -> None:
        if self._text:
            self._text[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif self._form and tag == "textarea" and self._text:
            name, parts = self._text
            self._text = None
            text = "".join(parts).removeprefix("\n")
            if text:
                self._form.values.append((name, text))
            else:
                self._form.empty[name] = "text"
        elif self._form and tag == "select" and self._select:
            name, options, is_multiple = self._select
            self._select = None
            chosen = [value for value, is_chosen in options if is_chosen]
            first = next((value for value, _ in options if value), "")
            if not chosen and not is_multiple:
                chosen = [options[0][0] if options else ""]
            if not any(chosen) and first:
                self._form.choices[name] = first
            self._form.values += [(name, value) for value in chosen]


def forms_of(page: str) -> list[Form]:
    """Read the forms of a page."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms
