"""What every channel can do: say whom it reaches, and send one message."""

from dataclasses import dataclass
from typing import Protocol

from django.db.models import Q

from campaigns.models import Delivery


class TryAgain(Exception):
    """The other side cannot take the message now; the message of the exception says why."""


class Away(TryAgain):
    """The other side takes nobody's messages now: not worth trying the next one."""


class Undeliverable(Exception):
    """The other side will never take this message; the message of the exception says why."""


class Refused(Undeliverable):
    """The other side refuses a message for good, for a reason that may hold for the next ones, too."""


class NoMailbox(Undeliverable):
    """There is nobody at this address, whoever writes to it."""


@dataclass(frozen=True)
class Message:
    """What one customer gets, rendered: a plain text and the same as HTML, where a channel has both."""

    subject: str = ""
    text: str = ""
    html: str = ""
    url: str = ""


class Channel(Protocol):
    """One way to reach people, made for a number of messages and closed after them."""

    def reaches(self) -> Q:
        """Give the question which customers can be reached at all, with consent where the channel needs it."""

    def delivers(self) -> bool:
        """Return whether what is handed over reaches somebody; it is written to a file otherwise."""

    def send(self, delivery: Delivery, message: Message) -> None:
        """Hand over one message; raises TryAgain or Undeliverable."""

    def close(self) -> None:
        """Let go of what was opened to send."""
