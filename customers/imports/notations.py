"""Notations of amounts, dates and words in files, and their form in our own format.

A text that cannot be read in the file's notation is returned as it is: parsing the row then says what is wrong.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

from core.values.text_cleaning import clean_text
from customers.rows.cells import CONSENT_WORDS

from .dialects import ASK

CACHED: Final = 1 << 16
MAX_LENGTH: Final = 100
"""Of texts that may be amounts, dates, words or names of columns: longer ones are neither, and take long to compare."""


class ExactCell(str):
    """The text of a number or date that a workbook stores as such: the notation of the file does not apply."""

    __slots__ = ()


def plain_word(text: str) -> str:
    """Return a text in lower case, without accents and signs: the form in which words and names are compared."""
    if len(text) > MAX_LENGTH:
        return text
    folded = unicodedata.normalize("NFKD", clean_text(text).casefold())
    return "".join(character for character in folded if character.isalnum())


# -- Amounts

_CURRENCY: Final = r"(?:[A-Z]{3}|(?:US|CA|AU|A|C)?\$|[€£¥₤]|[Kk]r\.?|zł|Kč|Ft|lei|Fr\.|SFr\.?)"
_AMOUNT: Final = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-])?\s*(?:{_CURRENCY}\s*)?(?P<inner>[+-])?\s*"
    rf"(?P<digits>\d(?:[\d.,'’ ]*\d)?)\s*(?P<after>-)?\s*(?:{_CURRENCY})?\s*(?P<close>\))?"
)
_BY_MARK: Final = {
    ".": re.compile(r"(?:\d+|\d{1,3}(?:[,'’ ]\d{3})+)(?:\.\d+)?", re.ASCII),
    ",": re.compile(r"(?:\d+|\d{1,3}(?:[.'’ ]\d{3})+)(?:,\d+)?", re.ASCII),
}
# Most amounts, and most dates, need no more than these, which take a fraction of the time.
_SIMPLE_AMOUNT: Final = {
    ".": re.compile(r"(-?)(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?(?: ?€)?", re.ASCII),
    ",": re.compile(r"(-?)(\d+|\d{1,3}(?:\.\d{3})+)(?:,(\d+))?(?: ?€)?", re.ASCII),
}
_SIMPLE_CLOCK: Final = re.compile(r"[012]\d:[0-5]\d(?::[0-5]\d)?", re.ASCII)
_PLAIN: Final = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_NOT_DIGITS: Final = re.compile(r"\D", re.ASCII)
_FOUR_PLACES: Final = Decimal("0.0001")


def normalize_amount(text: str, mark: str) -> str:
    """Return ``1.234,56 €`` as ``1234.56``, and ``(12.00)`` as ``-12.00``."""
    simple = _SIMPLE_AMOUNT[mark].fullmatch(text) if mark in _SIMPLE_AMOUNT else None
    if simple is None:
        return _normalize_any_amount(text, mark)
    sign, whole, fraction = simple.groups()
    plain = whole.replace("." if mark == "," else ",", "")
    return f"{sign}{plain}.{fraction}" if fraction else f"{sign}{plain}"


@lru_cache(maxsize=CACHED)
def _normalize_any_amount(text: str, mark: str) -> str:
    match = _amount_match(text)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return text
    digits = match["digits"]
    signs = [sign for sign in (match["sign"], match["inner"], match["after"]) if sign]
    if mark not in _BY_MARK or not _BY_MARK[mark].fullmatch(digits) or len(signs) + bool(match["open"]) > 1:
        return text
    whole, _, fraction = digits.partition(mark)
    number = _NOT_DIGITS.sub("", whole) + (f".{fraction}" if fraction else "")
    return f"-{number}" if match["open"] or "-" in signs else number


def _amount_match(text: str) -> re.Match[str] | None:
    return _AMOUNT.fullmatch(_compact(text)) if len(text) <= MAX_LENGTH else None


def _compact(text: str) -> str:
    """Return a text with single spaces, between which the patterns do not have to choose."""
    cleaned = clean_text(text)
    return " ".join(cleaned.split()) if len(cleaned) > 20 else cleaned


def round_exact(text: str) -> str:
    """Return a number of a workbook, which often is the result of a formula, with at most four decimals."""
    if len(text.partition(".")[2]) <= 4:
        return text
    rounded = Decimal(text).quantize(_FOUR_PLACES, ROUND_HALF_UP).normalize()
    return f"{rounded:f}"


def decimal_mark_of(text: str) -> str | None:
    """Return the mark that a number shows to be decimal, ``ASK`` for 1.234, "" if it has none; None for other texts."""
    match = _amount_match(text)
    if match is None:
        return None
    digits = match["digits"]
    marks = [character for character in digits if character in ".,"]
    if not marks:
        return ""
    last = marks[-1]
    if len(set(marks)) == 2:
        return last if marks.count(last) == 1 else None
    other = "," if last == "." else "."
    if len(marks) > 1:
        return other if _BY_MARK[other].fullmatch(digits) else None
    whole, _, fraction = digits.partition(last)
    groups_thousands = len(fraction) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
    return ASK if groups_thousands else last


def is_plain_number(text: str) -> bool:
    """Return whether our own format allows this number."""
    return bool(_PLAIN.fullmatch(text))


# -- Dates and times

_TIME: Final = (
    r"(?:(?:,?\s+|T)(?:um |à |alle |a las |at )?(?P<hour>\d{1,2})[:.hH](?P<minute>\d{2})"
    r"(?:[:.](?P<second>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?\s?[Mm]\.?)?\s*(?P<offset>Z|UTC|GMT|[+-]\d{2}:?\d{2})?(?:\s+Uhr)?)?"
)
_NUMERIC: Final = re.compile(rf"(\d{{1,2}})([./-])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}", re.ASCII)
_YEAR_FIRST: Final = re.compile(rf"(\d{{4}})([./-])(\d{{1,2}})\2(\d{{1,2}}){_TIME}", re.ASCII)
_NAMED: Final = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?:\.|er|º|°|st|nd|rd|th)?[\s-]+(?:de\s+)?(?P<month>[^\W\d_]{{3,}})\.?"
    rf"|(?P<month_first>[^\W\d_]{{3,}})\.?\s+(?P<day_second>\d{{1,2}})(?:st|nd|rd|th)?)"
    rf",?[\s-]+(?:de\s+)?(?P<year>\d{{4}}){_TIME}"
)
_SERIAL: Final = re.compile(r"([2-7]\d{4})(?:\.(\d+))?", re.ASCII)
_UNIX_TIME: Final = re.compile(r"1\d{9}", re.ASCII)
_NO_DATE: Final = frozenset({"-", "--", "0000-00-00", "0000-00-00 00:00:00", "00/00/0000", "n/a", "null"})
_EPOCH_OF_SPREADSHEETS: Final = datetime(1899, 12, 30)  # noqa: DTZ001 — a spreadsheet's dates have no zone
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 — written with its offset

_MONTHS: Final[Mapping[str, int]] = {
    name: number
    for number, names in enumerate(
        (
            "january january jan janvier janv gennaio gen enero ene januar jän jaenner",
            "february feb février fevr fév febbraio febrero februar",
            "march mar mars marzo märz mrz maerz",
            "april apr avril avr aprile abril abr",
            "may mai maggio mag mayo",
            "june jun juin giugno giu junio juni",
            "july jul juillet juil luglio lug julio juli",
            "august aug août aout agosto ago",
            "september sep sept septembre settembre set septiembre",
            "october oct octobre ottobre ott octubre oktober okt",
            "november nov novembre noviembre",
            "december dec décembre déc dicembre dic diciembre dezember dez",
        ),
        start=1,
    )
    for name in map(plain_word, names.split())
}


def normalize_moment(text: str, order: str) -> str:
    """Return a date or time in ISO 8601. ``31/03/26 6:30 pm`` is read in the given order, if it has one.

    Without an offset it stays without one, so it is in the time zone of the shop.
    """
    if len(text) > MAX_LENGTH:
        return text
    day, _, clock = text.partition(" ")
    if _SIMPLE_CLOCK.fullmatch(clock):
        iso = _normalize_any_moment(day, order)
        if len(iso) == len("2026-03-31"):
            return f"{iso}T{clock}"
    return _normalize_any_moment(text, order)


@lru_cache(maxsize=CACHED)
def _normalize_any_moment(text: str, order: str) -> str:
    cleaned = _compact(text)
    if match := _YEAR_FIRST.fullmatch(cleaned):
        if cleaned in _NO_DATE:
            return ""
        year, _, month, day = match.groups()[:4]
        return _iso(int(year), int(month), int(day), match) or text
    if match := _NUMERIC.fullmatch(cleaned):
        first, _, second, year = match.groups()[:4]
        day, month = (first, second) if order == "dmy" else (second, first)
        iso = _iso(_full_year(year), int(month), int(day), match) if order in ("dmy", "mdy") else ""
        return iso or text
    if cleaned.casefold() in _NO_DATE:
        return ""
    if match := _NAMED.fullmatch(cleaned):
        number = _MONTHS.get(plain_word(match["month"] or match["month_first"]), 0)
        day = match["day"] or match["day_second"]
        return (_iso(int(match["year"]), number, int(day), match) if number else "") or text
    if match := _SERIAL.fullmatch(cleaned):
        seconds = round(float(f"0.{match[2]}") * 86_400) if match[2] else 0
        moment = _EPOCH_OF_SPREADSHEETS + timedelta(days=int(match[1]), seconds=seconds)
        return moment.isoformat() if seconds else moment.date().isoformat()
    if _UNIX_TIME.fullmatch(cleaned):
        return f"{(_EPOCH + timedelta(seconds=int(cleaned))).isoformat()}+00:00"
    return text


def normalize_birth_date(text: str, order: str, year: int) -> str:
    """Return a date of birth as a date. A year of two digits is the latest one that is not after ``year``."""
    iso = normalize_moment(text, order)
    match = _numeric_match(text)
    if match and len(match[4]) == 2 and iso[:4].isdigit():
        short = int(match[4])
        full = short + 100 * ((year - short) // 100)
        iso = f"{full:04}{iso[4:]}"
    return iso[:10] if match else iso


def date_order_of(text: str) -> str | None:
    """Return the order that a date shows, ``ASK`` if it fits both, and None if it has no day and month in front."""
    match = _numeric_match(text)
    if match is None:
        return None
    first, second = int(match[1]), int(match[3])
    if not (1 <= first <= 31 and 1 <= second <= 31) or (first > 12 and second > 12):
        return None
    if first > 12:
        return "dmy"
    return "mdy" if second > 12 else ASK


def _numeric_match(text: str) -> re.Match[str] | None:
    return _NUMERIC.fullmatch(_compact(text)) if len(text) <= MAX_LENGTH else None


def _full_year(year: str) -> int:
    """Return a year of four digits. One of two digits is between 1969 and 2068, as in POSIX."""
    number = int(year)
    return number if len(year) == 4 else number + (1900 if number >= 69 else 2000)


def _iso(year: int, month: int, day: int, match: re.Match[str]) -> str:
    try:
        iso = date(year, month, day).isoformat()
    except ValueError:
        return ""
    if match["hour"] is None:
        return iso
    hour = int(match["hour"])
    if half := match["half"]:
        if not 1 <= hour <= 12:
            return ""
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    offset = match["offset"] or ""
    if offset in ("Z", "UTC", "GMT"):
        offset = "+00:00"
    elif offset and ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:]}"
    return f"{iso}T{hour:02}:{match['minute']}:{match['second'] or '00'}{offset}"


# -- Words

_YES: Final = """
    x ok on y j s o t v true yes si sì sí oui ja vero vrai wahr verdadero wahr 1 subscribed subscriber active confirmed
    optin opted-in opt-in abonné abonnée inscrit inscrite iscritto iscritta attivo attiva abonniert angemeldet
    bestätigt suscrito suscrita activo activa accepté accepted
"""
_NO: Final = """
    off n f false no non nein falso faux falsch 0 unsubscribed optout opt-out opted-out cleaned bounced
    désabonné désabonnée désinscrit désinscrite disiscritto disiscritta cancellato abgemeldet abbestellt baja
    desuscrito désinscription revoked withdrawn suppressed
"""
_UNKNOWN: Final = (
    "neversubscribed nonsubscribed notsubscribed transactional pending unconfirmed inattesa enattente"
)

_CONSENT: Final[Mapping[str, str]] = {
    **dict.fromkeys(map(plain_word, _YES.split()), "subscribed"),
    **dict.fromkeys(map(plain_word, _NO.split()), "unsubscribed"),
    **dict.fromkeys(_UNKNOWN.split(), ""),
    **dict.fromkeys(map(plain_word, ("dado de baja", "dada de baja", "nicht abonniert")), "unsubscribed"),
}


@lru_cache(maxsize=CACHED)
def normalize_consent(text: str) -> str:
    """Return ``subscribed``, ``unsubscribed`` or ``never``, or nothing for words that say neither yes nor no."""
    if text.lower() in CONSENT_WORDS:
        return CONSENT_WORDS[text.lower()]
    return _CONSENT.get(plain_word(text), text)


def is_consent_word(text: str) -> bool:
    return text.lower() in CONSENT_WORDS or plain_word(text) in _CONSENT


_STATUS_WORDS: Final[Mapping[str, str]] = {
    "fulfilled": """
        fulfilled completed complete shipped delivered done wccompleted
        terminé terminée livré livrée expédié expédiée spedito consegnato completato evaso
        enviado entregado completado versendet verschickt geliefert zugestellt abgeschlossen
    """,
    "paid": """
        paid processing wcprocessing paymentaccepted paymentreceived remotepaymentaccepted processinginprogress
        preparationinprogress payé payée paiementaccepté encours encoursdepréparation paiementàdistanceaccepté
        pagato pagata pagamentoaccettato inlavorazione inpreparazione preparazioneincorso
        pagado pagada pagoaceptado procesando enpreparación preparaciónencurso
        bezahlt zahlungerhalten zahlungakzeptiert zahlungeingegangen inbearbeitung invorbereitung partiallyrefunded
    """,
    "pending": """
        pending wcpending pendingpayment onhold wconhold new holded pendingpaypal paymentreview awaitingpayment draft
        checkoutdraft awaitingcheckpayment awaitingbankwirepayment awaitingcashondeliveryvalidation onbackorderunpaid
        enattente enattentedepaiement enattentedupaiementparchèque enattentedevirementbancaire
        inattesa inattesadipagamento insospeso inattesadelpagamentoconassegno inattesadelpagamentoconbonifico
        pendiente pendientedepago enespera enesperadepagoporcheque enesperadepagoportransferenciabancaria
        ausstehend offen wartend zahlungausstehend inwartestellung wartetaufzahlungseingang
    """,
    "cancelled": """
        cancelled canceled wccancelled failed wcfailed voided expired trash paymenterror fraud
        annulé annulée échoué échouée erreurdepaiement annullato annullata fallito fallita errorepagamento
        cancelado cancelada anulado anulada fallido errorenelpago storniert abgebrochen fehlgeschlagen zahlungsfehler
    """,
    "refunded": """
        refunded wcrefunded remboursé remboursée rimborsato rimborsata reembolsado reembolsada erstattet
        rückerstattet zurückerstattet
    """,
}
_STATUSES: Final[Mapping[str, str]] = {
    plain_word(word): status for status, words in _STATUS_WORDS.items() for word in words.split()
}


@lru_cache(maxsize=CACHED)
def normalize_status(text: str) -> str:
    """Return one of our statuses for what shops call theirs, in five languages."""
    return _STATUSES.get(plain_word(text), text)


_TOTAL_WORDS: Final = frozenset(
    map(
        plain_word,
        ("total", "totals", "grand total", "subtotal", "sum", "totale", "totali", "totale generale", "somma", "totaux",
         "total général", "somme", "suma", "totales", "total general", "summe", "gesamt", "gesamtsumme", "insgesamt"),
    )
)  # fmt: skip


def is_total_word(text: str) -> bool:
    """Return whether a cell is the label of a row of totals."""
    return plain_word(text) in _TOTAL_WORDS


_APOSTROPHE_OR_FORMULA: Final = re.compile(r"""^(?:'(?P<text>.*)|="(?P<formula>[^"]*)")$""", re.DOTALL)


def unwrap_text(text: str) -> str:
    """Return ``007`` for ``'007`` and ``="007"``, by which spreadsheets keep a text from becoming a number."""
    match = _APOSTROPHE_OR_FORMULA.match(text) if text[:1] in ("'", "=") else None
    return text if match is None else (match["text"] or match["formula"] or "").strip()


def split_full_name(name: str) -> tuple[str, str]:
    """Return the first and the last name of ``Ada Lovelace`` or ``Lovelace, Ada``."""
    last, comma, first = name.partition(",")
    if comma:
        return first.strip(), last.strip()
    first, _, last = name.strip().rpartition(" ")
    return first.strip(), last


# Words that begin a last name of several words.
_PARTICLES: Final = frozenset(
    (
        *(
            "d",
            "da",
            "dal",
            "dalla",
            "de",
            "dei",
            "del",
            "della",
            "delle",
            "degli",
            "den",
            "der",
            "des",
            "di",
            "dos",
        ),
        *(
            "du",
            "la",
            "las",
            "le",
            "lo",
            "los",
            "mc",
            "san",
            "sant",
            "santa",
            "st",
            "van",
            "vom",
            "von",
            "zu",
            "zur",
        ),
    )
)


def split_last_first_name(name: str) -> tuple[str, str]:
    """Return the first and the last name of ``Lovelace Ada``, ``Lovelace, Ada`` or ``DE LA TOUR Anne Marie``.

    The last name is one word with the particles before it, or all words in capitals if the others are not.
    """
    if "," in name:
        return split_full_name(name)
    words = name.split()
    capitals = next((place for place, word in enumerate(words) if not word.isupper()), 0)
    length = capitals
    if not length:
        length = next((place for place, word in enumerate(words) if not _is_particle(word)), 0) + 1
    return " ".join(words[length:]), " ".join(words[:length])


def _is_particle(word: str) -> bool:
    return word.casefold().rstrip(".'’") in _PARTICLES
