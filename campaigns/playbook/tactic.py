"""What a tactic of the playbook is, and what tactics are made of: messages with their texts, and when they begin."""

from collections.abc import Mapping
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
NOW: Final = timedelta()

_MESSAGES: Final = Path(__file__).parents[1] / "templates" / "campaigns" / "messages"


@dataclass(frozen=True)
class StepContent:
    """One message of a tactic; ``wait`` is after the beginning, or after the message before."""

    wait: timedelta
    channel: str
    subject: str = ""
    text: str = ""
    html: str = ""
    url: str = ""


@dataclass(frozen=True)
class Question:
    """What only the shop knows, and has to fill in before a tactic starts; its texts print it as ``answers.<name>``."""

    name: str
    label: str
    help: str = ""
    is_address: bool = False


@dataclass(frozen=True)
class Tactic:
    """One way to engage the people of some segments.

    ``segments`` names the templates whose segments it is made for; one without suits any. ``needs`` says in words what
    the shop provides. ``campaign`` holds fields of ``Campaign``. ``narrowed_by`` is a rule for those of the segment
    whom it is for at a time, such as on their birthday. ``asks`` is what staff have to fill in before it starts, and
    one that ``has_last_day`` needs a pool whose codes end.
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
    asks: tuple[Question, ...] = ()
    has_last_day: bool = False


def hours(count: int) -> timedelta:
    """Give so many hours."""
    return timedelta(hours=count)


def days(count: int) -> timedelta:
    """Give so many days."""
    return timedelta(days=count)


# -- Messages


def email_steps(tactic: str, *messages: tuple[timedelta, str]) -> tuple[StepContent, ...]:
    """Give the e-mails of a tactic, by how long after the one before each comes, and its subject."""
    return tuple(
        StepContent(wait, Email.key, subject, *_texts(tactic, number))
        for number, (wait, subject) in enumerate(messages, start=1)
    )


def on_site_steps(tactic: str, subject: str, url: str = "{{ shop.url }}") -> tuple[StepContent, ...]:
    """Return the one message of a tactic that a page of the shop shows; it leads to the shop unless said otherwise."""
    return (StepContent(NOW, OnSite.key, subject, *_texts(tactic, 1), url=url),)


def _texts(tactic: str, number: int) -> tuple[str, str]:
    text, html = (_MESSAGES / tactic / f"{number}.{form}" for form in ("txt", "html"))
    return text.read_text(encoding="utf-8"), html.read_text(encoding="utf-8")


# -- When they begin


def on_entry(again: timedelta | None = None, **more: Any) -> Json:
    """Begin for whoever enters; once more ``again`` later at the earliest, or never."""
    return {"trigger": Trigger.ENTERS, "reentry_after": again, **NIGHT_QUIET_HOURS, **more}


def repeated(period: timedelta) -> Json:
    """Begin for all members again and again."""
    return {
        "trigger": Trigger.EVERY,
        "repeats_every": period,
        "reentry_after": timedelta(),
        **NIGHT_QUIET_HOURS,
    }


def on_date() -> Json:
    """Begin for all members at a date."""
    return {"trigger": Trigger.AT, **NIGHT_QUIET_HOURS}
