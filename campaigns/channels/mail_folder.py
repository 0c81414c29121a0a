"""The folder for messages when no mail server is configured: finding and deleting the messages to a person.

Existing files stay after a mail server is configured.
Django writes one file for each connection, with several messages in it, each followed by a line of dashes.
"""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.utils import getaddresses
from pathlib import Path
from typing import Final

from django.conf import settings

from core.private_files import replace_file
from customers.privacy.mentions import Mentions

_END: Final = b"\n" + b"-" * 79 + b"\n"


def messages_to(mentions: Mentions) -> list[str]:
    """Return the messages that are addressed to a person."""
    return [
        message.decode(errors="replace")
        for path in _files()
        for message in _messages(path)
        if _is_to(message, mentions)
    ]


def delete_messages_to(mentions: Mentions) -> None:
    """Delete the messages that are addressed to a person, and files that hold no others."""
    for path in _files():
        messages = list(_messages(path))
        others = [message for message in messages if not _is_to(message, mentions)]
        if not others:
            path.unlink(missing_ok=True)
        elif len(others) < len(messages):
            replace_file(path, b"".join(message + _END for message in others))


def _files() -> list[Path]:
    if not settings.EMAIL_FILE_PATH:
        return []
    return sorted(Path(settings.EMAIL_FILE_PATH).glob("*.log"))


def _messages(path: Path) -> Iterator[bytes]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    yield from (message for message in content.split(_END) if message.strip())


def _is_to(message: bytes, mentions: Mentions) -> bool:
    parsed = message_from_bytes(message, policy=policy.default)
    headers = [str(value) for name in ("To", "Cc", "Bcc") for value in parsed.get_all(name, [])]
    return any(mentions.in_text(address) for _, address in getaddresses(headers))
