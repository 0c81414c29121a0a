"""The registered channels, by key."""

import inspect
import re
from typing import Final, TypeVar

from django.core.exceptions import ImproperlyConfigured

from campaigns.models import Step

from .base import Channel

C = TypeVar("C", bound=type[Channel])

CHANNELS: Final[dict[str, type[Channel]]] = {}

_KEY: Final = re.compile(r"[a-z][a-z0-9_]*")
_NOUN: Final = re.compile(r"an? \S.*")
_COLUMNS: Final = ("subject", "text", "html", "url")
_REACHED_AT: Final = ("sent_at", "shown_at")


def register(channel: C) -> C:
    """Add a channel. Raises ImproperlyConfigured for a declaration that is incomplete or contradicts itself."""
    if problem := _problem(channel):
        raise ImproperlyConfigured(f"{channel.__name__}: {problem}")
    CHANNELS[channel.key] = channel
    return channel


def unregister(channel: type[Channel]) -> None:
    """Remove a channel. Messages of its steps are not sent from then on."""
    CHANNELS.pop(channel.key, None)


def find_channel(key: str) -> type[Channel] | None:
    """Return the channel of a step that sends messages; None for one that does not, or is not registered."""
    channel = CHANNELS.get(key)
    return channel if channel and channel.sends_messages else None


def sending_channels() -> list[type[Channel]]:
    """Return the channels that send messages."""
    return [channel for channel in CHANNELS.values() if channel.sends_messages]


def keys_without_messages() -> list[str]:
    """Return the keys of channels that send no messages."""
    return [channel.key for channel in CHANNELS.values() if not channel.sends_messages]


def sends_messages(key: str) -> bool:
    """Return whether steps of a channel send messages. Those of an unregistered one do, and fail with a reason."""
    return key not in keys_without_messages()


def capped_keys() -> list[str]:
    """Return the keys of channels whose messages count towards the weekly cap."""
    return [channel.key for channel in sending_channels() if channel.counts_towards_cap]


def channel_choices() -> list[tuple[str, str]]:
    """Return the choices of a form field."""
    return [(channel.key, channel.label()) for channel in CHANNELS.values()]


def channel_label(key: str) -> str:
    """Return the name of a channel for staff; of one that is not registered any more, its key."""
    return CHANNELS[key].label() if key in CHANNELS else key


def _problem(channel: type[Channel]) -> str:
    """Return what is wrong with a declaration, or an empty string."""
    missing = [name for name in ("key", "noun", "parts", "address") if not hasattr(channel, name)]
    if missing:
        return f"declare {', '.join(missing)}"
    longest = Step._meta.get_field("channel").max_length or 0
    if not _KEY.fullmatch(channel.key) or len(channel.key) > longest:
        return f"key has to be at most {longest} lower-case letters, digits and underscores"
    if CHANNELS.get(channel.key, channel) is not channel:
        return f"the key {channel.key} is taken by {CHANNELS[channel.key].__name__}"
    if not _NOUN.fullmatch(channel.noun):
        return "noun has to begin with its article"
    if inspect.isabstract(channel):
        return "implement send"
    if channel.reached_at not in _REACHED_AT:
        return f"reached_at has to be one of {', '.join(_REACHED_AT)}"
    return _problem_of_parts(channel)


def _problem_of_parts(channel: type[Channel]) -> str:
    names = [part.name for part in channel.parts]
    if len(set(names)) < len(names) or not set(names) <= set(_COLUMNS):
        return f"parts have to be some of {', '.join(_COLUMNS)}, each once"
    if any(part.alternative not in ("", *names) for part in channel.parts):
        return "the alternative of a part has to be another part"
    if channel.sends_messages and not any(part.required for part in channel.parts):
        return "one of the parts has to be required"
    return ""
