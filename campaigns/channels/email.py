"""E-mail, through the configured backend of Django. One connection sends many messages."""

import re
import smtplib
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.headerregistry import Address
from typing import Any, Final
from uuid import UUID

from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends import smtp
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.utils import DNS_NAME
from django.utils.encoding import punycode

from campaigns.links import signed_links
from campaigns.models import Delivery
from core.mail import has_mail_server
from core.shop import shop
from core.values import email_addresses
from customers.privacy.mentions import Mentions

from . import email_layout, mail_folder
from .base import (
    AddressColumns,
    Channel,
    ChannelUnavailable,
    Check,
    MessageRefused,
    NoMailbox,
    OutgoingMessage,
    Part,
    PartKind,
    Problem,
    TemporaryFailure,
    Undeliverable,
)
from .registry import register

SMTP_CLOSING: Final = 421  # the mail server closes the connection
MESSAGE_ERRORS: Final = (smtplib.SMTPRecipientsRefused, ValueError)
CREDENTIAL_STATUSES: Final = (401, 402, 403)  # a provider refuses the API key
RETRYABLE_STATUSES: Final = (408, 409, 425, 429)
NO_MAILBOX_STATUSES: Final = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")
"""Enhanced status codes (RFC 3463, RFC 7505) for an address without a mailbox."""
_STATUS: Final = re.compile(r"(?<![\d.])5\.\d{1,3}\.\d{1,3}(?![\d.])")
CLIPPED_ABOVE: Final = 102 * 1024
"""The size in bytes from which Gmail hides the rest of a message."""
UNSENT_STATES: Final = {"invalid", "rejected"}
"""The states of django-anymail for recipients to whom a provider sends nothing."""


@register
class Email(Channel):
    """Messages to customers who have an e-mail address and have subscribed to the newsletter."""

    key = "email"
    noun = "an e-mail"
    parts = (
        Part("subject", "Subject", PartKind.LINE, required="An e-mail needs a subject."),
        Part("text", "Text", required="Write the text of the e-mail.", alternative="html"),
        Part("html", "HTML", PartKind.HTML, help_text="Leave it empty to generate it from the text."),
    )
    address = AddressColumns("e-mail address", "email", compared="email_folded", trusted="email_is_trusted")

    def __init__(self) -> None:
        self._connection: BaseEmailBackend | None = None

    @classmethod
    def problems(cls, written: Mapping[str, str]) -> Iterator[Problem]:
        """Also require an unsubscribe link in a complete HTML document, because no footer is added to it."""
        yield from super().problems(written)
        if email_layout.is_document(written["html"]) and "unsubscribe_url" not in written["html"]:
            text = 'a complete document needs an unsubscribe link: <a href="{{ unsubscribe_url }}">.'
            yield Problem("html", text, "HTML")

    @classmethod
    def templates(cls, written: Mapping[str, str]) -> dict[str, str]:
        """Return the templates with the frame and the footer of e-mails."""
        templates = super().templates(written)
        return templates | {
            "html": email_layout.add_frame(templates["html"]),
            "text": email_layout.add_footer(templates["text"]),
        }

    @classmethod
    def finish_html(cls, html: str) -> str:
        """Return the HTML with the styles of e-mails in its tags."""
        return email_layout.add_styles(html)

    @classmethod
    def checks(cls, message: OutgoingMessage | None) -> Iterator[Check]:
        """Yield what spam filters and mail programs look at: the subject, a text part, the address and the size."""
        if message:
            yield _check_subject(message)
            yield _check_text(message)
        yield _check_address()
        if message and message.html:
            yield _check_size(message)

    @classmethod
    def delivers(cls) -> bool:
        """Return whether there is a mail server."""
        return has_mail_server()

    @classmethod
    def notice(cls) -> tuple[str, str] | None:
        """Return a notice for staff if no mail server is configured."""
        if has_mail_server():
            return None
        return (
            "E-mails are written to a file",
            "No mail server is set, so e-mails reach nobody. They are counted as written to a file, not as sent,"
            " and no order is credited to them. Administrators see under Shop settings how to set one.",
        )

    @classmethod
    def export_personal_data(cls, mentions: Mentions) -> Mapping[str, Any]:
        """Return the messages in files, which exist if no mail server was configured."""
        return {"mail_files": mail_folder.messages_to(mentions)}

    @classmethod
    def erase_personal_data(cls, mentions: Mentions) -> None:
        """Delete the messages in files."""
        mail_folder.delete_messages_to(mentions)

    def send(self, delivery: Delivery, message: OutgoingMessage) -> None:
        """Send through the mail server. Raises TemporaryFailure or Undeliverable, or a subclass of them."""
        self.send_to_address(
            delivery.customer.email, message, delivery.token, signed_links.unsubscribe_headers(delivery)
        )

    def send_to_address(
        self, address: str, message: OutgoingMessage, token: UUID, headers: Mapping[str, str]
    ) -> None:
        """Send a message to an address. Raises the same errors as ``send``."""
        try:
            to = _recipient(address)
            mail = EmailMultiAlternatives(
                subject=" ".join(message.subject.split()),
                body=message.text,
                from_email=shop().sender,
                to=[to],
                # The same for each attempt, so that mail programs recognize a repetition.
                headers={"Message-ID": f"<{token}@{_sender_domain()}>", **headers},
                connection=self._open(),
            )
            if message.html:
                mail.attach_alternative(message.html, "text/html")
            connection = self._open()
            is_international = not to.isascii() and isinstance(connection, smtp.EmailBackend)
            accepted = _send_international(connection, mail) if is_international else mail.send()
            _check_status(mail)
        except Exception as error:
            if not isinstance(error, MESSAGE_ERRORS):
                self.close()
            raise _delivery_error(error) from error
        if not accepted:
            raise TemporaryFailure("The mail server did not accept the message.")

    def close(self) -> None:
        """Close the connection to the mail server."""
        connection, self._connection = self._connection, None
        if connection:
            try:
                connection.close()
            except (OSError, smtplib.SMTPException):
                return  # already closed

    def _open(self) -> BaseEmailBackend:
        if self._connection is None:
            self._connection = get_connection()
            self._connection.open()
        return self._connection


def _check_subject(message: OutgoingMessage) -> Check:
    if message.subject:
        return Check("Subject", "There is one.")
    return Check("Subject", "The message has none.", "Write it above the blocks.", is_passed=False)


def _check_text(message: OutgoingMessage) -> Check:
    if email_layout.without_footer(message.text).strip():
        return Check("Text part", "It says the same as the HTML.")
    problem = "It is empty: spam filters distrust messages that are only pictures."
    return Check("Text part", problem, "Add a text, or describe the pictures.", is_passed=False)


def _check_address() -> Check:
    if shop().address:
        return Check("Address", "The shop's postal address is in the footer.")
    problem = "The footer has no postal address, which the law requires in many countries."
    return Check("Address", problem, "Enter the address of the shop in its settings.", is_passed=False)


def _check_size(message: OutgoingMessage) -> Check:
    size = len(message.html.encode())
    shown = f"{max(size // 1024, 1):,} KB"
    if size <= CLIPPED_ABOVE:
        return Check("Size", f"{shown}.")
    problem = f"{shown}: Gmail shows only the first 102 KB, and the link to unsubscribe stands at the end."
    return Check("Size", problem, "Remove blocks, or show fewer products.", is_passed=False)


def _sender_domain() -> str:
    """Return the domain of the sender address."""
    _, _, domain = shop().sender.rstrip("> ").rpartition("@")
    return punycode(domain) if domain else str(DNS_NAME)


def _recipient(address: str) -> str:
    """Return an address with its domain in ASCII (IDNA 2008); raises ValueError for one that could reach another."""
    return email_addresses.normalize_email(address)


def _send_international(connection: Any, mail: EmailMultiAlternatives) -> int:
    """Send to an address with non-ASCII characters (SMTPUTF8, RFC 6531), which Django would rewrite.

    Raises SMTPNotSupportedError if the server does not support it.
    """
    [to] = mail.to
    mail.to = []
    message = message_from_bytes(mail.message().as_bytes(), policy=policy.SMTPUTF8)
    local, _, domain = to.rpartition("@")
    message["To"] = Address(username=local, domain=domain)
    mail.to = [to]
    sender = str(message["From"].addresses[0].addr_spec)
    connection.connection.send_message(message, sender, [to])
    return 1


def _check_status(mail: EmailMultiAlternatives) -> None:
    """Raise an error if django-anymail reports that the recipient was not reached."""
    recipients = getattr(getattr(mail, "anymail_status", None), "recipients", None) or {}
    states = {getattr(recipient, "status", None) for recipient in recipients.values()}
    if states and states <= UNSENT_STATES:
        raise NoMailbox(f"The provider reports the address as {', '.join(sorted(map(str, states)))}.")
    if states == {"failed"}:
        raise MessageRefused("The provider could not send the message.")


def _delivery_error(error: Exception) -> Exception:
    """Return the delivery error that an exception of a mail backend means."""
    if isinstance(error, Undeliverable):
        return error
    text = f"{type(error).__name__}: {error}"
    match error:
        case smtplib.SMTPRecipientsRefused():
            [(code, response)] = error.recipients.values()
            return _error_for_smtp_code(code, f"{code} {_decode(response)}")
        # The sender or the password was refused, not the message.
        case smtplib.SMTPSenderRefused() | smtplib.SMTPAuthenticationError() | smtplib.SMTPConnectError():
            return ChannelUnavailable(f"{error.smtp_code} {_decode(error.smtp_error)}")
        case smtplib.SMTPHeloError() | smtplib.SMTPServerDisconnected():
            return ChannelUnavailable(text)
        case smtplib.SMTPResponseException():
            return _error_for_smtp_code(error.smtp_code, f"{error.smtp_code} {_decode(error.smtp_error)}")
        case smtplib.SMTPNotSupportedError():
            return Undeliverable(f"The mail server does not support this address: {error}")
        case ValueError():  # an address, or a header, that is none
            return Undeliverable(text)
        # django-anymail is optional, so its errors are recognized by attribute and name.
        case _ if isinstance(status := getattr(error, "status_code", None), int):
            return _error_for_http_status(status, text)
        case _ if type(error).__name__ == "AnymailRecipientsRefused":
            return NoMailbox(text)
        case OSError():
            return ChannelUnavailable(text)
    return TemporaryFailure(text)


def _error_for_smtp_code(code: int, text: str) -> Exception:
    if code == SMTP_CLOSING:
        return ChannelUnavailable(text)
    if code < 500:
        return TemporaryFailure(text)
    status = _STATUS.search(text)
    return NoMailbox(text) if status and status[0] in NO_MAILBOX_STATUSES else MessageRefused(text)


def _error_for_http_status(status: int, text: str) -> Exception:
    if status in CREDENTIAL_STATUSES:
        return ChannelUnavailable(text)
    return (
        MessageRefused(text)
        if 400 <= status < 500 and status not in RETRYABLE_STATUSES
        else TemporaryFailure(text)
    )


def _decode(response: bytes | str) -> str:
    return response.decode(errors="replace") if isinstance(response, bytes) else response
