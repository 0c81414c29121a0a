"""The playbook: each tactic is complete, fits its segments, and has messages that are ready to send."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from campaigns.channels.audience import Audience
from campaigns.channels.email import Email
from campaigns.management.commands import document_playbook
from campaigns.messages import blocks, rendering
from campaigns.models import Campaign, Step
from campaigns.playbook import catalogue
from campaigns.playbook.catalogue import TACTICS, StepContent
from segments import segment_store
from segments.models import Change, Segment
from segments.refresh.engine import refresh_segments
from segments.rules import parse
from segments.templates import TEMPLATES
from tests.support import shop

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
ROWS = {
    # What the shop was promised for each segment, as many tactics as it names.
    "lead": 3, "newsletter-subscribers": 4, "first-order": 4, "repeat": 3, "hero": 5, "occasional": 3, "waiting": 4,
    "lost": 3, "anonymous": 2, "new-non-buyers": 3, "first-time-buyers": 2, "two-time-buyers": 2,
    "one-time-lapsed": 4, "repeat-lapsed": 4, "brand-lovers": 6, "browsers": 3,
}  # fmt: skip


def step_of(content: StepContent) -> Step:
    """Return the step that a campaign of the playbook has."""
    step = Step(**vars(content))
    blocks.write_templates(step)
    return step


def of_template(slug: str) -> Segment:
    return Segment(slug=slug, name=slug, template=slug)


def test_every_segment_lists_its_own_tactics_first() -> None:
    assert ROWS.keys() == TEMPLATES.keys()
    any_segment = [tactic for tactic in TACTICS.values() if not tactic.segments]
    for slug, count in ROWS.items():
        tactics = catalogue.tactics_for_segment(of_template(slug))
        assert len(tactics) == count + len(any_segment)
        assert all(slug in tactic.segments for tactic in tactics[:count])
        assert tactics[count:] == any_segment
    assert catalogue.tactics_for_segment(Segment(slug="lead", name="By hand")) == any_segment
    assert {slug for tactic in TACTICS.values() for slug in tactic.segments} <= TEMPLATES.keys()


@pytest.mark.django_db
def test_every_tactic_is_complete() -> None:
    for tactic in TACTICS.values():
        Campaign(segment=Segment(), name=tactic.name, **tactic.campaign)  # knows its fields
        if tactic.channel == Audience.key:
            assert not tactic.steps
            continue
        assert {step.channel for step in tactic.steps} == {tactic.channel}
        steps = list(map(step_of, tactic.steps))
        needs_codes = rendering.uses_variable(steps, "coupon")
        assert needs_codes == any("codes" in need for need in tactic.needs), tactic.slug
        asked = rendering.answer_names(steps)
        assert sorted(asked) == sorted(question.name for question in tactic.questions), tactic.slug
        is_email = tactic.channel == Email.key
        assert (tactic.campaign["quiet_from"] is not None) == is_email, tactic.slug
        for step in steps:
            assert rendering.problem_texts(step) == [], tactic.slug
    waits = [step.wait for step in TACTICS["cart-recovery"].steps]
    assert [sum(waits[: n + 1], timedelta()) for n in range(3)] == [
        timedelta(hours=1), timedelta(hours=24), timedelta(hours=72),
    ]  # fmt: skip


def test_every_file_of_messages_belongs_to_a_tactic() -> None:
    folder = Path(django_settings.BASE_DIR) / "campaigns" / "playbook" / "messages"
    assert {path.name for path in folder.iterdir()} == {
        f"{tactic.slug}-{number}.toml"
        for tactic in TACTICS.values()
        for number in range(1, len(tactic.steps) + 1)
    }


@pytest.mark.django_db
def test_a_birthday_tactic_creates_a_segment_of_upcoming_birthdays() -> None:
    days = {"today": NOW, "tomorrow": NOW + timedelta(days=1), "later": NOW + timedelta(days=2)}
    shop.customers(
        *(f"{name},{name}@example.org,1990-{day:%m-%d}" for name, day in days.items()),
        header="customer_id,email,birth_date",
    )
    everybody = shop.segment("everybody", {"known": {"is": True}})
    gift = TACTICS["birthday-gift"]

    narrowed = catalogue.segment_for_tactic(gift, everybody)
    assert catalogue.segment_for_tactic(gift, everybody) == narrowed  # the same again
    assert catalogue.segment_for_tactic(TACTICS["announcement"], everybody) == everybody
    assert narrowed.slug == "everybody-birthday-gift"
    parse(narrowed.rule)
    at = datetime(2100, 3, 15, 12, tzinfo=UTC)
    refresh_segments(Segment.objects.all(), at)
    assert shop.members(narrowed.slug) == ["today", "tomorrow"]
    # Who enters has birthday a day later: the wait of the message.
    refresh_segments(Segment.objects.all(), at + timedelta(hours=12))
    entered = Change.objects.filter(segment=narrowed, change="entered", cause="time")
    assert list(entered.values_list("public_id", flat=True)) == ["later"]
    assert gift.steps[0].wait == timedelta(days=1)
    narrowed.rule = {"known": {"is": True}}
    segment_store.save_segment(narrowed)  # somebody has made something else of it
    assert catalogue.segment_for_tactic(gift, everybody).slug == "everybody-birthday-gift-2"


def test_the_documentation_names_every_tactic_as_it_is(tmp_path: Path) -> None:
    page = (Path(django_settings.BASE_DIR) / "docs" / "playbook.md").read_text(encoding="utf-8")
    written = page.partition(document_playbook.START)[2].strip()
    assert written == document_playbook.as_markdown().strip(), "run manage.py document_playbook"


def test_the_generated_part_is_written_below_the_introduction(tmp_path: Path, settings, capsys) -> None:
    settings.BASE_DIR = tmp_path
    page = tmp_path / "docs" / "playbook.md"
    page.parent.mkdir()
    page.write_text(f"# Ours\n\n{document_playbook.START}\nold\n", encoding="utf-8")

    call_command("document_playbook")

    assert page.read_text(encoding="utf-8").startswith(f"# Ours\n\n{document_playbook.START}\n## Leads")
    assert "old\n" not in page.read_text(encoding="utf-8").splitlines()
