"""Masks that replace contact data for staff who may not see it.

Two things are masked in any text: what looks like an e-mail address, and what looks like a phone number (``+`` and 8
to 15 digits) or is the phone number of a customer. ``customers.privacy.admin_site`` masks every response of the
admin. Values that only their name marks as contact data, such as ``first_name``, are masked by their pages through
``customers.admin.contact_data``.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from customers.models import Customer, Identity

VIEW_CONTACT_DATA: Final = "customers.view_contact_data"
HIDDEN: Final = "•••"

Mask = Callable[[str], str]

# As plain text, in HTML, and in a URL.
_AT = r"(?:@|＠|%40|&\#64;|&\#x40;|&commat;)"
_APOSTROPHE = r"&\#x27;|&\#39;"
_ADDRESS = re.compile(
    rf"""(?P<local>(?:[^\W]|[!#$*+^_`~.-]|%(?!40)[0-9A-F]{{2}})
                   (?:[^\W]|[!#$*+^_`~.'-]|{_APOSTROPHE}|%(?!40)[0-9A-F]{{2}})*)
         {_AT}
         (?P<domain>(?:\w|%[0-9A-F]{{2}})(?:\w|[.-](?=\w)|%[0-9A-F]{{2}})*|\[[0-9a-f.:]+\])""",
    re.VERBOSE | re.IGNORECASE,
)
# The rest of an address with a quoted local part.
_QUOTED = re.compile(rf"""(?<=[^\s"'>@•]){_AT}\w+(?:[.-]\w+)*\.\w+""", re.IGNORECASE)
_BETWEEN = r"(?:[\s().\-/  ]|%20){0,3}"
_PHONE = re.compile(rf"(?:[+＋]|%2B|&\#43;)(?:{_BETWEEN}\d){{8,15}}(?!\d)", re.IGNORECASE)
# Without line breaks: a number does not go on in the next row of a file.
_WITHIN_LINE = r"(?:[^\S\r\n]|[().\-/]|%20){0,3}"
_NUMBER = re.compile(rf"(?<![\w.])\d(?:{_WITHIN_LINE}\d){{5,14}}(?!\w)")
_MAX_NUMBERS: Final = 500
"""The most numbers in one query: databases limit their parameters."""

# Form fields hold what the person typed or may edit: a mask would be saved in its place.
_FORM = re.compile(r"<form\b.*?</form>", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r"<textarea\b.*?</textarea>|<input\b[^>]*>", re.IGNORECASE | re.DOTALL)


def mask_address(text: str) -> str:
    return f"{text[:1] if text[:1].isalnum() else ''}{HIDDEN}@{HIDDEN}"


def mask_phone(text: str) -> str:
    return f"{HIDDEN} {text[-2:]}"


def looks_like_contact_data(text: str) -> bool:
    """Return whether a text contains what looks like contact data, without asking the database."""
    return bool(_ADDRESS.search(text) or _QUOTED.search(text) or _PHONE.search(text))


def mask_looks(text: str, allowed: frozenset[str] = frozenset()) -> str:
    """Mask what looks like an e-mail address or a phone number, except the ``allowed`` addresses."""

    def masked(found: re.Match[str]) -> str:
        return found[0] if found[0].casefold() in allowed else mask_address(found["local"])

    text = _QUOTED.sub(f"@{HIDDEN}", _ADDRESS.sub(masked, text)) if _may_hold_address(text) else text
    return _PHONE.sub(lambda found: mask_phone(found[0]), text)


def mask_text(text: str, allowed: frozenset[str] = frozenset()) -> str:
    """Mask also the phone numbers of customers in any spelling; this queries the database."""
    text = mask_looks(text, allowed)
    stored = _stored_phones(found[0] for found in _NUMBER.finditer(text))
    if not stored:
        return text
    return _NUMBER.sub(lambda found: mask_phone(found[0]) if found[0] in stored else found[0], text)


def mask_html(page: str, mask: Mask) -> str:
    """Mask a page, except the fields of its forms."""
    kept: list[str] = []

    def keep(field: re.Match[str]) -> str:
        kept.append(field[0])
        return f"\ue000{len(kept) - 1}\ue001"

    without = _FORM.sub(lambda form: _FIELD.sub(keep, form[0]), page.replace("\ue000", ""))
    return re.sub("\ue000(\\d+)\ue001", lambda place: kept[int(place[1])], mask(without))


def mask_json(text: str, mask: Mask) -> str:
    """Mask every text in JSON, names included."""
    return json.dumps(_each_text(json.loads(text), mask))


def mask_lines(chunks: Iterable[bytes], mask: Mask) -> Iterator[bytes]:
    """Mask a text that comes in chunks, line by line."""
    rest = b""
    for chunk in chunks:
        whole, end, rest = (rest + chunk).rpartition(b"\n")
        if end:
            yield mask((whole + end).decode()).encode()
    if rest:
        yield mask(rest.decode()).encode()


def _each_text(value: Any, mask: Mask) -> Any:
    match value:
        case dict():
            return {mask(name): _each_text(part, mask) for name, part in value.items()}
        case list():
            return [_each_text(part, mask) for part in value]
        case str():
            return mask(value)
    return value


def _may_hold_address(text: str) -> bool:
    return any(sign in text for sign in ("@", "＠", "%40", "&#", "&commat;"))


def _stored_phones(numbers: Iterable[str]) -> set[str]:
    """Return those of some numbers that are phone numbers of customers."""
    written: dict[str, set[str]] = {}
    for number in numbers:
        digits = re.sub(r"%20|\D", "", number)
        for form in {number, digits, f"+{digits}", f"+{digits.removeprefix('00')}"}:
            written.setdefault(form, set()).add(number)
    forms, found = list(written), set[str]()
    for start in range(0, len(forms), _MAX_NUMBERS):
        part = forms[start : start + _MAX_NUMBERS]
        phones = Customer.objects.filter(phone__in=part).order_by().values_list("phone")
        ids = Identity.objects.filter(kind=Identity.Kind.PHONE, value__in=part).values_list("value")
        for (form,) in phones.union(ids):
            found |= written[form]
    return found
