"""Regenerate the reference part of docs/playbook.md from the tactics."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from campaigns.channels import registry
from campaigns.models import Campaign
from campaigns.playbook.catalogue import TACTICS, Tactic
from core.durations import duration_text
from core.reference_pages import write_reference
from segments.templates import TEMPLATES

START = "<!-- from here on written by `manage.py document_playbook` -->\n"


class Command(BaseCommand):
    help = "Regenerate the reference part of docs/playbook.md from the tactics."

    def handle(self, **options: Any) -> None:
        self.stdout.write(write_reference("playbook.md", START, as_markdown()))


def as_markdown() -> str:
    """Return the playbook as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for slug, template in TEMPLATES.items():
        yield f"## {template.name} (`{slug}`)\n\n{template.description} {template.use}\n"
        yield from _table([tactic for tactic in TACTICS.values() if slug in tactic.segments])
    yield "## Any segment\n"
    yield from _table([tactic for tactic in TACTICS.values() if not tactic.segments])


def _table(tactics: list[Tactic]) -> Iterator[str]:
    yield "| tactic | starts | messages | needs |\n| --- | --- | --- | --- |"
    for tactic in tactics:
        needs = "; ".join(tactic.needs) or "–"
        told = f"**{tactic.name}** (`{tactic.slug}`)<br>{tactic.summary}"
        yield f"| {told} | {_start_text(tactic)} | {_message_texts(tactic)} | {needs} |"
    yield ""


def _start_text(tactic: Tactic) -> str:
    if not registry.sends_messages(tactic.channel):
        return "as a file to download"
    match tactic.campaign["trigger"]:
        case Campaign.Trigger.EVERY:
            begins = f"every {duration_text(tactic.campaign['repeats_every'])}, for all members"
        case Campaign.Trigger.AT:
            begins = "at a date, for all members"
        case _ if tactic.narrowed_by:
            begins = "on their birthday"
        case _:
            again = tactic.campaign["reentry_after"]
            begins = "when they enter" + (
                f", again after {duration_text(again)} at the earliest" if again else ", once"
            )
    return begins + ("; ends with an order" if tactic.campaign.get("ends_with_order") else "")


def _message_texts(tactic: Tactic) -> str:
    """Return the messages, each with its wait after the previous one."""
    label = registry.channel_label(tactic.channel)
    told = [
        f"{label}{f' after {duration_text(step.wait)}' if step.wait else ''}: “{step.subject}”".replace(
            "|", "\\|"
        )
        for step in tactic.steps
    ]
    return "<br>".join(told) or label
