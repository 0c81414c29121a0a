"""Mail: whether a mail server is configured."""

from functools import cache

from django.conf import settings
from django.core.mail.backends import console, dummy
from django.utils.module_loading import import_string


def has_mail_server() -> bool:
    """Return whether e-mails are handed to a mail server or a provider, and not to a file or a screen."""
    return _reaches_people(settings.EMAIL_BACKEND)


@cache
def _reaches_people(backend: str) -> bool:
    # That of files is one of the console's.
    return not issubclass(import_string(backend), console.EmailBackend | dummy.EmailBackend)
