"""The Markdown pages: their links and paths exist, and they name every command and every setting."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(settings.BASE_DIR)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])

CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PATH = re.compile(
    r"`((?:core|customers|segments|campaigns|segments_project|tests|benchmarks|docs)/[\w/.-]*)`"
)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def relative_links(page: Path) -> Iterator[str]:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    return (link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in relative_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_code_exist(page: Path) -> None:
    paths = PATH.findall(FENCE.sub("", page.read_text(encoding="utf-8")))

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_command_is_documented() -> None:
    ours = {config.name for config in apps.get_app_configs() if Path(config.path).parent == ROOT}
    commands = {name for name, app in get_commands().items() if app in ours}
    documented = set(re.findall(r"`(\w+)", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")))

    assert {"serve", "import_csv"} <= commands
    assert commands <= documented


def test_every_environment_variable_is_documented() -> None:
    source = (ROOT / "segments_project" / "settings.py").read_text(encoding="utf-8")
    variables = set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z_]+)"', source))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\|([^|]+)\|", page, re.MULTILINE)
    documented = {name for cell in first_cells for name in re.findall("`([A-Z_]+)`", cell)}

    assert {"DATABASE_URL", "SECRET_KEY"} <= variables
    assert documented == variables
