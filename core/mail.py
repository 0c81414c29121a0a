"""Whether a mail server is configured."""

from functools import cache

from django.conf import settings
from django.core.mail.backends import console, dummy
from django.utils.module_loading import import_string


def has_mail_server() -> bool:
    """Return whether e-mails go to a mail server or a provider, not to files or the console."""
    return _reaches_people(settings.EMAIL_BACKEND)


@cache
def _reaches_people(backend: str) -> bool:
    # The file backend is a subclass of the console backend.
    return not issubclass(import_string(backend), console.EmailBackend | dummy.EmailBackend)
