"""What a tactic of the playbook consists of: messages with their texts, and a trigger."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time, timedelta
from pathlib import Path
from typing import Any, Final

from campaigns.channels.email import Email
from campaigns.channels.on_site import OnSite
from campaigns.models import Campaign

Json = dict[str, Any]
Trigger = Campaign.Trigger

NIGHT_QUIET_HOURS: Final = {"quiet_from": time(21), "quiet_until": time(8)}
NO_QUIET_HOURS: Final = {"quiet_from": None, "quiet_until": None}
IMMEDIATELY: Final = timedelta()

_MESSAGES: Final = Path(__file__).parent / "messages"


@dataclass(frozen=True)
class StepContent:
    """One message of a tactic; ``wait`` counts from the start, or from the previous message.

    It consists of ``blocks``. A file of ``messages/`` holds them, with the subject.
    """

    wait: timedelta
    channel: str
    subject: str
    blocks: Sequence[Json]
    url: str = ""


@dataclass(frozen=True)
class Question:
    """What staff fill in before a tactic starts. Texts print it as ``answers.<name>``."""

    name: str
    label: str
    help: str = ""
    is_url: bool = False


@dataclass(frozen=True)
class Tactic:
    """A ready-made campaign for some segments.

    ``segments`` names the segment templates it is made for; an empty one suits any segment. ``needs`` says what the
    shop has to provide. ``campaign`` holds fields of ``Campaign``. ``narrowed_by`` is a rule that selects some members,
    such as those with a birthday. Staff answer ``questions`` before it starts. ``has_last_day`` means that the campaign
    needs a pool whose codes expire. ``wins_back`` means that it can also start some days before customers would become
    inactive, and then its first message is sent at once.
    """

    slug: str
    name: str
    summary: str
    segments: tuple[str, ...]
    channel: str
    needs: tuple[str, ...]
    campaign: Mapping[str, Any]
    steps: tuple[StepContent, ...]
    narrowed_by: Json | None = field(default=None, compare=False)
    questions: tuple[Question, ...] = ()
    has_last_day: bool = False
    wins_back: bool = False


def hours(count: int) -> timedelta:
    return timedelta(hours=count)


def days(count: int) -> timedelta:
    return timedelta(days=count)


# -- Messages


def email_steps(tactic: str, *waits: timedelta) -> tuple[StepContent, ...]:
    """Return the e-mails of a tactic; each waits for its time after the previous one."""
    return tuple(
        StepContent(wait, Email.key, **_message(tactic, number)) for number, wait in enumerate(waits, start=1)
    )


def on_site_steps(tactic: str, url: str = "{{ shop.url }}") -> tuple[StepContent, ...]:
    """Return the on-site message of a tactic; by default it links to the shop."""
    return (StepContent(IMMEDIATELY, OnSite.key, url=url, **_message(tactic, 1)),)


def _message(tactic: str, number: int) -> Json:
    """Return the subject and the blocks of a message."""
    return tomllib.loads((_MESSAGES / f"{tactic}-{number}.toml").read_text(encoding="utf-8"))


# -- Triggers


def on_entry(reentry_after: timedelta | None = None, **fields: Any) -> Json:
    """Start for customers who enter, and again at the earliest ``reentry_after`` later; None means only once."""
    return {"trigger": Trigger.ENTERS, "reentry_after": reentry_after, **NIGHT_QUIET_HOURS, **fields}


def repeated(period: timedelta) -> Json:
    """Start for all members, repeatedly."""
    return {
        "trigger": Trigger.EVERY,
        "repeats_every": period,
        "reentry_after": timedelta(),
        **NIGHT_QUIET_HOURS,
    }


def on_date() -> Json:
    """Start for all members at a date."""
    return {"trigger": Trigger.AT, **NIGHT_QUIET_HOURS}
