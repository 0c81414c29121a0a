"""What a channel declares, and the interface through which its messages are sent.

A channel is restrained by default: a class that declares nothing about it needs consent, obeys suppressions, counts
towards the weekly cap and keeps quiet hours.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final

from django.db.models import Q

from campaigns.models import Delivery
from customers.models import Customer
from customers.privacy.mentions import Mentions

from . import html_checks, html_conversion

MAX_TEMPLATE_LENGTH: Final = 50_000


class TemporaryFailure(Exception):
    """The message cannot be delivered now, but another attempt may succeed. The text says why."""


class ChannelUnavailable(TemporaryFailure):
    """The channel delivers no messages at all now, so the next one need not be tried."""


class Undeliverable(Exception):
    """The message can never be delivered. The text says why."""


class MessageRefused(Undeliverable):
    """The receiving server refuses the message for good, for a reason that may affect the next ones too."""


class NoMailbox(Undeliverable):
    """No mailbox exists at this address."""


class Consent(Enum):
    """The consent that a customer has to give before a channel sends to them."""

    NEWSLETTER = auto()
    NOT_NEEDED = auto()


class PartKind(Enum):
    """How a part is written and shown: one line, plain text, HTML or the address of a page."""

    LINE = auto()
    TEXT = auto()
    HTML = auto()
    URL = auto()


@dataclass(frozen=True)
class Part:
    """A part of each message of a channel; ``name`` is the column of ``Step`` that holds its template.

    ``required`` is the sentence that refuses an empty part. ``alternative`` names another part that may be written
    instead. ``max_length`` counts the characters of the template.
    """

    name: str
    label: str
    kind: PartKind = PartKind.TEXT
    required: str = ""
    alternative: str = ""
    help_text: str = ""
    max_length: int = MAX_TEMPLATE_LENGTH


@dataclass(frozen=True)
class AddressColumns:
    """The columns of ``Customer`` that say where messages go.

    Two customers have the same address where ``compared`` is equal. Of those, the one whose column ``trusted`` is true
    comes first.
    """

    label: str
    column: str
    compared: str
    trusted: str = ""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a part of a step for every customer; ``label`` is set if the text does not name the part."""

    part: str
    text: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.label}: {self.text}" if self.label else self.text


@dataclass(frozen=True)
class Check:
    """What was looked at before a message is sent: what was found, and how to mend it if it did not pass."""

    label: str
    text: str
    mend: str = ""
    is_passed: bool = True


@dataclass(frozen=True)
class OutgoingMessage:
    """A rendered message for one customer; ``text`` and ``html`` say the same."""

    subject: str = ""
    text: str = ""
    html: str = ""
    url: str = ""


@dataclass(frozen=True)
class PreviewPart:
    """A part of a rendered message, as the preview shows it."""

    label: str
    kind: str
    value: str


class Channel(ABC):
    """One way to reach customers. An instance sends several messages and is then closed.

    A subclass declares ``key``, ``noun``, ``parts`` and ``address``, and implements ``send``. Registration checks the
    declaration.
    """

    key: ClassVar[str]
    """What is stored in ``Step.channel``."""
    noun: ClassVar[str]
    """The message with its article, as the sentence of a campaign names it: ``an e-mail``."""
    parts: ClassVar[tuple[Part, ...]]
    address: ClassVar[AddressColumns | None]
    """Where messages go; None for a channel that needs no address of the customer."""

    consent: ClassVar[Consent] = Consent.NEWSLETTER
    obeys_suppressions: ClassVar[bool] = True
    counts_towards_cap: ClassVar[bool] = True
    keeps_quiet_hours: ClassVar[bool] = True
    pauses_when_refused: ClassVar[bool] = True
    """Whether sending pauses when more than a tenth of the latest messages were refused."""
    tracks_links: ClassVar[bool] = True
    """Whether links lead through this installation, which counts clicks."""
    sends_messages: ClassVar[bool] = True
    """Whether its steps send messages; False where staff download something instead."""
    reached_at: ClassVar[str] = "sent_at"
    """The column of ``Delivery`` that says when a message reached its customer; results credit orders from then on."""

    # -- Who can be reached

    @classmethod
    def reachable_q(cls) -> Q:
        """Return the condition for customers who can be reached, unless their address is suppressed."""
        reachable = Q()
        if cls.consent is Consent.NEWSLETTER:
            reachable &= Q(newsletter=Customer.Newsletter.SUBSCRIBED)
        if cls.address:
            reachable &= ~Q(**{cls.address.column: ""})
        return reachable

    @classmethod
    def unreachable_reason(cls) -> str:
        """Return the sentence that says why a customer cannot be reached."""
        lacking = []
        if cls.address:
            lacking.append(f"has no {cls.address.label}")
        if cls.consent is Consent.NEWSLETTER:
            lacking.append("has not subscribed to the newsletter")
        return (
            f"The customer {', or '.join(lacking)}."
            if lacking
            else "The customer cannot be reached through this channel."
        )

    # -- What a message says

    @classmethod
    def takes_blocks(cls) -> bool:
        """Return whether a message can consist of blocks, which make a text and HTML."""
        return {"text", "html"} <= {part.name for part in cls.parts}

    @classmethod
    def label(cls) -> str:
        """Return the name of the channel for staff, without an article."""
        return cls.noun.partition(" ")[2]

    @classmethod
    def problems(cls, written: Mapping[str, str]) -> Iterator[Problem]:
        """Yield what is wrong with the templates of a step, by part, before they are compiled."""
        for part in cls.parts:
            is_written = written[part.name].strip() or (
                part.alternative and written[part.alternative].strip()
            )
            if part.required and not is_written:
                yield Problem(part.name, part.required)
        for part in cls.parts:
            if part.kind is PartKind.HTML:
                for problem in html_checks.html_problems(written[part.name]):
                    yield Problem(part.name, problem, part.label)

    @classmethod
    def templates(cls, written: Mapping[str, str]) -> dict[str, str]:
        """Return the template of each part. Of a text and an HTML part, an empty one is made from the other."""
        templates = {part.name: written[part.name] for part in cls.parts}
        if "text" in templates:
            templates["text"] = html_conversion.remove_tag_lines(written["text"])
        if templates.keys() >= {"text", "html"}:
            if not written["html"].strip():
                templates["html"] = html_conversion.html_from_text(written["text"])
            if not written["text"].strip():
                templates["text"] = html_conversion.text_from_html(written["html"])
        return templates

    @classmethod
    def finish_html(cls, html: str) -> str:
        """Return rendered HTML as it is sent."""
        return html

    @classmethod
    def checks(cls, message: OutgoingMessage | None) -> Iterator[Check]:
        """Yield what receivers of a rendered message may dislike; of None, what does not depend on the message."""
        yield from ()

    @classmethod
    def preview(cls, message: OutgoingMessage) -> list[PreviewPart]:
        """Return every part of a rendered message, for staff to look at."""
        return [
            PreviewPart(part.label, part.kind.name.lower(), getattr(message, part.name)) for part in cls.parts
        ]

    # -- Notices and personal data

    @classmethod
    def delivers(cls) -> bool:
        """Return whether messages reach people; they are written to a file otherwise."""
        return True

    @classmethod
    def notice(cls) -> tuple[str, str] | None:
        """Return a title and a text for staff while messages reach nobody."""
        return None

    @classmethod
    def export_personal_data(cls, mentions: Mentions) -> Mapping[str, Any]:
        """Return what the channel stores about a customer outside the database, by section of the export."""
        return {}

    @classmethod
    def erase_personal_data(cls, mentions: Mentions) -> None:
        """Delete what the channel stores about customers outside the database."""
        return

    # -- Sending

    @abstractmethod
    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        """Send one message. Raises TemporaryFailure or Undeliverable."""

    def close(self) -> None:
        """Close the connections that were opened to send."""
        return


def part_labels(parts: Sequence[Part]) -> str:
    """Return the label of a form field that several channels share: ``Subject or title``."""
    labels = dict.fromkeys(part.label for part in parts)
    first, *others = labels
    return " or ".join([first, *(label.lower() for label in others)])
