"""E-mail, by whichever of Django's backends is set up; one connection carries many messages."""

import smtplib
from typing import Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.utils import DNS_NAME
from django.db.models import Q
from django.utils.encoding import punycode

from campaigns import links
from campaigns.models import Delivery
from customers.models import Customer

from .base import Away, Channel, Message, TryAgain, Undeliverable

BUSY: Final = 421  # the mail server is about to hang up, whoever the message is for
NOT_OF_THE_CONNECTION: Final = (smtplib.SMTPRecipientsRefused, ValueError)
KEY_REFUSED: Final = (401, 402, 403)  # by a provider, whoever the message is for
MAY_WORK_LATER: Final = (408, 409, 425, 429)


class Email(Channel):
    """Messages to who has subscribed to the newsletter, and has an address."""

    def __init__(self) -> None:
        self._connection: BaseEmailBackend | None = None

    def reaches(self) -> Q:
        """Ask for consent and an address."""
        return Q(newsletter=Customer.Newsletter.SUBSCRIBED) & ~Q(email="")

    def send(self, delivery: Delivery, message: Message) -> None:
        """Hand the message to the mail server; raises TryAgain, Away or Undeliverable."""
        try:
            mail = EmailMultiAlternatives(
                subject=" ".join(message.subject.split()),
                body=message.text,
                to=[delivery.customer.email],
                # The same for each attempt: what arrives twice, since we were cut off before we could note the
                # server's yes, is one message to mail programs.
                headers={"Message-ID": f"<{delivery.token}@{_domain()}>", **links.headers(delivery)},
                connection=self._open(),
            )
            if message.html:
                mail.attach_alternative(message.html, "text/html")
            taken = mail.send()
        except Exception as error:
            if not isinstance(error, NOT_OF_THE_CONNECTION):
                self.close()
            raise _meaning(error) from error
        if not taken:
            raise TryAgain("The mail server took nothing.")

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection:
            try:
                connection.close()
            except (OSError, smtplib.SMTPException):
                return  # it is gone already

    def _open(self) -> BaseEmailBackend:
        if self._connection is None:
            self._connection = get_connection()
            self._connection.open()
        return self._connection


def _domain() -> str:
    """Give the domain that our messages come from."""
    _, _, domain = settings.DEFAULT_FROM_EMAIL.rstrip("> ").rpartition("@")
    return punycode(domain) if domain else str(DNS_NAME)


def _meaning(error: Exception) -> Exception:
    """Say what an error means for the message: another attempt, none for now to anybody, or none at all."""
    said = f"{type(error).__name__}: {error}"
    match error:
        case smtplib.SMTPRecipientsRefused():
            [(code, answer)] = error.recipients.values()
            return _by_code(code, f"{code} {_text(answer)}")
        # Of the sender, or the password: nothing is wrong with the message.
        case smtplib.SMTPSenderRefused() | smtplib.SMTPAuthenticationError() | smtplib.SMTPConnectError():
            return Away(f"{error.smtp_code} {_text(error.smtp_error)}")
        case smtplib.SMTPHeloError() | smtplib.SMTPServerDisconnected():
            return Away(said)
        case smtplib.SMTPResponseException():
            return _by_code(error.smtp_code, f"{error.smtp_code} {_text(error.smtp_error)}")
        case smtplib.SMTPNotSupportedError() | ValueError():  # an address, or a header, that is none
            return Undeliverable(said)
        # Of django-anymail, which need not be installed; its errors of answers are also such of connections.
        case _ if isinstance(status := getattr(error, "status_code", None), int):
            return _by_status(status, said)
        case _ if type(error).__name__ == "AnymailRecipientsRefused":
            return Undeliverable(said)
        case OSError():
            return Away(said)
    return TryAgain(said)


def _by_code(code: int, said: str) -> Exception:
    if code == BUSY:
        return Away(said)
    return Undeliverable(said) if code >= 500 else TryAgain(said)


def _by_status(status: int, said: str) -> Exception:
    """Read the answer of a provider's API."""
    if status in KEY_REFUSED:
        return Away(said)
    return Undeliverable(said) if 400 <= status < 500 and status not in MAY_WORK_LATER else TryAgain(said)


def _text(answer: bytes | str) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer
