"""The columns of audience files per platform, and which are hashed.

Meta: keys of custom audiences, formatted as Meta's SDK does. Where the SDK and the Conversions API differ, the files
follow the Conversions API, and names follow its examples of digests. Google: columns of a Customer Match list. Unknown
values are empty.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, Final, NamedTuple

from campaigns.models import AudienceExport
from core.values.phone_numbers import to_e164

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_NOT_A_TO_Z: Final = re.compile("[^a-z]")
_NOT_IN_A_CITY: Final = re.compile(r"[0-9.\s()-]")
# Common names that are not ISO 3166 codes.
_COUNTRIES: Final = {"usa": "us", "uk": "gb"}

ZIP_ATTRIBUTES: Final = ("zip", "postal_code", "postcode", "address.postalCode", "address.zip")
STATE_ATTRIBUTES: Final = ("state", "province", "region", "address.state")
GENDER_ATTRIBUTES: Final = ("gender",)


class Person(NamedTuple):
    """The data of a customer that a file may contain."""

    customer_id: str
    email: str
    phone: str
    first_name: str
    last_name: str
    country: str
    city: str
    birth_date: date | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its name, its value, and whether only a digest of it is written."""

    name: str
    value: Callable[[Person], str]
    is_hashed: bool = True

    def cell(self, person: Person) -> str:
        """Return the value, or its digest."""
        value = self.value(person)
        return digest(value) if self.is_hashed else value


def digest(value: str) -> str:
    """Return the SHA-256 digest; a value that already is one, or is empty, is returned unchanged."""
    if not value or _DIGEST.fullmatch(value):
        return value
    return sha256(value.encode()).hexdigest()


# -- Normalization


def normalize_email(text: str) -> str:
    """Return an address in lower case, without surrounding dots and white space."""
    return text.strip(" \t\r\n\v\0.").lower()


def normalize_phone(text: str, country: str) -> str:
    """Return a number in E.164 format; empty if its country is unknown."""
    international = f"+{text.strip()[2:]}" if text.strip().startswith("00") else text
    return to_e164(international, country_code(country)) or ""


def normalize_phone_digits(text: str, country: str) -> str:
    """Return the digits of a number, with the country code if it is known."""
    return (normalize_phone(text, country) or re.sub("[^0-9]", "", text)).lstrip("+0")


def normalize_google_email(text: str) -> str:
    """Return an address as Google compares it: Gmail addresses without dots and ``+`` tags."""
    local, at, domain = normalize_email(text).rpartition("@")
    if domain in ("gmail.com", "googlemail.com"):
        local = local.partition("+")[0].replace(".", "")
    return local + at + domain


def normalize_name(text: str) -> str:
    """Return a name in lower case, without punctuation, symbols and spaces."""
    lowered = unicodedata.normalize("NFC", text).lower()
    return "".join(letter for letter in lowered if unicodedata.category(letter)[0] not in "PSZC")


def normalize_state(text: str) -> str:
    """Return only the letters a to z of a state."""
    return _NOT_A_TO_Z.sub("", text.lower())


def normalize_city(text: str) -> str:
    """Return a city in lower case, without digits, spaces and punctuation."""
    return _NOT_IN_A_CITY.sub("", text.lower())


def normalize_zip_code(text: str) -> str:
    """Return a postal code without spaces, and without the suffix of a ZIP+4 code."""
    return re.sub(r"\s", "", text.lower()).partition("-")[0]


def country_code(text: str) -> str:
    """Return the two-letter code of a country; empty if it is written as a name."""
    letters = _NOT_A_TO_Z.sub("", text.lower())
    code = _COUNTRIES.get(letters, letters)
    return code if len(code) == 2 else ""


def normalize_gender(text: str) -> str:
    """Return f, m or nothing."""
    letter = text.strip().lower()[:1]
    return letter if letter in ("f", "m") else ""


# -- The columns


def _attribute(person: Person, names: Sequence[str]) -> str:
    for name in names:
        if (value := person.attributes.get(name)) not in (None, ""):
            return str(value)
    return ""


def _birth_date(person: Person, date_format: str) -> str:
    return format(person.birth_date, date_format) if person.birth_date else ""


META_COLUMNS: Final = (
    Column("EMAIL", lambda person: normalize_email(person.email)),
    Column("PHONE", lambda person: normalize_phone_digits(person.phone, person.country)),
    Column("FN", lambda person: normalize_name(person.first_name)),
    Column("LN", lambda person: normalize_name(person.last_name)),
    Column("CT", lambda person: normalize_city(person.city)),
    Column("ST", lambda person: normalize_state(_attribute(person, STATE_ATTRIBUTES))),
    Column("ZIP", lambda person: normalize_zip_code(_attribute(person, ZIP_ATTRIBUTES))),
    Column("COUNTRY", lambda person: country_code(person.country)),
    Column("DOBY", lambda person: _birth_date(person, "%Y")),
    Column("DOBM", lambda person: _birth_date(person, "%m")),
    Column("DOBD", lambda person: _birth_date(person, "%d")),
    Column("GEN", lambda person: normalize_gender(_attribute(person, GENDER_ATTRIBUTES))),
    Column("EXTERN_ID", lambda person: person.customer_id, is_hashed=False),
)
GOOGLE_COLUMNS: Final = (
    Column("Email", lambda person: normalize_google_email(person.email)),
    Column("Phone", lambda person: normalize_phone(person.phone, person.country)),
    Column("First Name", lambda person: person.first_name.strip().lower()),
    Column("Last Name", lambda person: person.last_name.strip().lower()),
    Column("Country", lambda person: country_code(person.country).upper(), is_hashed=False),
    Column("Zip", lambda person: _attribute(person, ZIP_ATTRIBUTES).strip(), is_hashed=False),
)
PLATFORM_COLUMNS: Final[Mapping[str, Sequence[Column]]] = {
    AudienceExport.Platform.META.value: META_COLUMNS,
    AudienceExport.Platform.GOOGLE.value: GOOGLE_COLUMNS,
}
