"""An e-mail provider that fails as a test says, with the errors that django-anymail raises."""

from collections.abc import Sequence
from typing import ClassVar

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class AnymailRequestsAPIError(OSError):
    """An answer that is no yes; without a status, none at all."""

    status_code: int | None = None


class AnymailRecipientsRefused(Exception):
    """Nobody of those a message is for will get it."""


class Backend(BaseEmailBackend):
    """Takes every message, or answers with this error."""

    error: ClassVar[Exception | None] = None
    taken: ClassVar[list[EmailMessage]] = []

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        if Backend.error:
            raise Backend.error
        Backend.taken += email_messages
        return len(email_messages)


def answer(status: int | None) -> AnymailRequestsAPIError:
    error = AnymailRequestsAPIError(f"answered {status}")
    error.status_code = status
    return error
