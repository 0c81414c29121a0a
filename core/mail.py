"""Whether a mail server is configured, and messages to staff."""

from functools import cache

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends import console, dummy
from django.utils.module_loading import import_string

log = structlog.get_logger(__name__)


def send(message: EmailMessage) -> Exception | None:
    """Send a message. Return the error if the server does not respond or refuses it."""
    try:
        message.send()
    except Exception as error:  # the library of a provider has errors of its own
        log.warning("mail_not_sent", error=repr(error))
        return error
    return None


def has_mail_server() -> bool:
    """Return whether e-mails go to a mail server or a provider, not to files or the console."""
    return _reaches_people(settings.EMAIL_BACKEND)


@cache
def _reaches_people(backend: str) -> bool:
    # The file backend is a subclass of the console backend.
    return not issubclass(import_string(backend), console.EmailBackend | dummy.EmailBackend)
