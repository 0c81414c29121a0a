"""Where a text names a person: stored JSON, a response, or a row of a file.

Such texts belong to no customer: a rejected message could not be read, and a response may be about many. A person is
found by their ids, which must be a whole value, and by their e-mail addresses and phone numbers in any spelling.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final
from urllib.parse import unquote

from core.values import email_addresses
from customers.models import Customer, Event, Identity, Order, Traits

# A JSON string or number after its name, if it has one. In a truncated text, the last one may lack its end.
_VALUE: Final = re.compile(
    r'(?:"(?P<name>(?:[^"\\]|\\.)*)"\s*:\s*)?(?:"(?P<text>(?:[^"\\]|\\.)*)(?:"|\\?$)|(?P<number>\d+)(?![\w.]))',
    re.DOTALL,
)
_ADDRESS: Final = re.compile(r"[^\s\"'<>(),;:\[\]{}\\]+@[^\s\"'<>(),;:\[\]{}\\/?&=]+")
_PHONE: Final = re.compile(r"\+?\(?\d[\d\s()./\u2010-\u2015-]{4,}\d")
MIN_ID_LENGTH: Final = 4  # characters of an id: shorter values may be quantities
MIN_PHONE_DIGITS: Final = 7  # of a phone number: fewer identify nobody


@dataclass(frozen=True)
class Mentions:
    """What identifies one person: ids, normalized addresses, and the digits of phone numbers."""

    ids: frozenset[str]
    emails: frozenset[str]
    phones: frozenset[str]

    @classmethod
    def collect(cls, customers: Sequence[int]) -> "Mentions":
        """Collect what identifies a person, from all rows that are theirs."""
        ids, emails, phones = set[str](), set[str](), set[str]()
        for printed, email, phone in Customer.objects.filter(pk__in=customers).values_list(
            "customer_id", "email", "phone"
        ):
            ids.add(printed)
            emails.add(email)
            phones.add(phone)
        for kind, value in Identity.objects.filter(customer__in=customers).values_list("kind", "value"):
            {Identity.Kind.EMAIL.value: emails, Identity.Kind.PHONE.value: phones}.get(kind, ids).add(value)
        for traits in Traits.objects.filter(identity__customer__in=customers).values_list(
            "values", flat=True
        ):
            for name, addresses in (("email", emails), ("phone", phones)):
                value = traits.get(name, [""])[0]
                addresses.add(value if isinstance(value, str) else "")
        ids.update(Order.objects.filter(customer__in=customers).values_list("order_id", flat=True))
        ids.update(Event.objects.filter(customer__in=customers).values_list("message_id", flat=True))
        return cls(
            frozenset(ids - {""}),
            frozenset(map(normalized_email, emails - {""})),
            frozenset(digits for phone in phones if len(digits := _digits(phone)) >= MIN_PHONE_DIGITS),
        )

    def in_json(self, text: str) -> bool:
        """Return whether a text that is JSON, or was before it was truncated, names the person."""
        return self.in_pairs(_pairs(text)) or self.in_text(text)

    def in_text(self, text: str) -> bool:
        """Return whether free text contains an address or phone number of the person."""
        return self._has_email(text) or self._has_phone(text)

    def in_url(self, url: str) -> bool:
        """Return whether a URL names the person in a part of its path."""
        return self.in_pairs(("id", unquote(part)) for part in url.split("/"))

    def in_pairs(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Return whether any value, given with its name, is an id of the person or contains their address."""
        return any(self._is_id(name, value) or self.in_text(value) for name, value in pairs)

    def _is_id(self, name: str, value: str) -> bool:
        """Return whether a value is an id. A short one, such as 7, is one only if the name ends in ``id``."""
        value = unicodedata.normalize("NFC", value.strip())
        return value in self.ids and (len(value) >= MIN_ID_LENGTH or name.lower().endswith("id"))

    def _has_email(self, text: str) -> bool:
        if not self.emails or "@" not in text:
            return False
        return any(normalized_email(found.strip(".")) in self.emails for found in _ADDRESS.findall(text))

    def _has_phone(self, text: str) -> bool:
        return any(self._is_phone(found) for found in _PHONE.findall(text)) if self.phones else False

    def _is_phone(self, written: str) -> bool:
        """Compare digits: with the country code, or as dialled inside the country."""
        digits = _digits(written).lstrip("0")
        return len(digits) >= MIN_PHONE_DIGITS and any(
            phone == digits or (phone.endswith(digits) and len(phone) - len(digits) <= 3)
            for phone in self.phones
        )


def normalized_email(email: str) -> str:
    """Return an e-mail address in the form in which addresses are compared."""
    try:
        return email_addresses.fold_email(email_addresses.normalize_email(email))
    except email_addresses.InvalidEmail:
        return email_addresses.fold_email(email)


def split_rows(mentions: Mentions, text: str) -> tuple[str, list[list[str]]]:
    """Return a CSV file without the rows that name the person, and these rows. The header stays."""
    kept, named = io.StringIO(newline=""), list[list[str]]()
    sheet = csv.writer(kept, lineterminator="\r\n")
    rows = csv.reader(io.StringIO(text, newline=""))
    header = next(rows, [])
    sheet.writerow(header)
    for cells in rows:
        if mentions.in_pairs(zip_longest(header, cells, fillvalue="")):
            named.append(cells)
        else:
            sheet.writerow(cells)
    return kept.getvalue(), named


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for found in _VALUE.finditer(text):
        name, value, number = found["name"] or "", found["text"], found["number"]
        yield name, number if value is None else _decoded(value)


def _decoded(value: str) -> str:
    try:
        decoded = json.loads(f'"{value}"', strict=False)
    except ValueError:  # truncated within an escape
        return value
    return decoded if isinstance(decoded, str) else value


def _digits(phone: str) -> str:
    return "".join(one for one in phone if one.isdigit())
