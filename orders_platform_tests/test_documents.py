"""What the documents say of commands and settings is what the code has."""

import re
from pathlib import Path

import pytest

from orders_platform.cli.main import COMMANDS
from orders_platform.errors import OrdersError
from orders_platform.matching.status import BREAK_STATUSES, PENDING_STATUSES
from orders_platform.settings import Settings, known_keys
from orders_platform.surroundings import RESERVED

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "DEVELOPERS.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]


def test_every_command_is_in_the_table() -> None:
    table = re.findall(r"^\| (`orders .*?) \|", README, re.MULTILINE)
    assert {name for row in table for name in re.findall(r"`orders ([a-z-]+)", row)} == set(COMMANDS)


def test_every_setting_is_in_the_table() -> None:
    section = README.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", row.split(" | ")[0])]
    assert named == [key for key in known_keys() if key != "home"]


def test_every_status_is_told() -> None:
    section = README.partition("\n## What an order's document says\n")[2].partition("\n## ")[0]
    assert all(f"`{status}`" in section for status in BREAK_STATUSES | PENDING_STATUSES)


def test_every_entry_of_the_runbook_is_tried() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## By symptom\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+)` \|$", row) for row in rows]
    assert all(len(names) == 1 for names in named), rows
    tests = "\n".join(file.read_text() for file in (ROOT / "orders_platform_tests").rglob("test_*.py"))
    assert [name for (name,) in named if f"def {name}(" not in tests] == []
    assert len(rows) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_variables_on_a_page_exist(page: Path) -> None:
    text = page.read_text()
    later = {"bench", "chaos"} if page.name == "CHANGELOG.md" else set[str]()
    assert set(re.findall(r"`(?:\./)?orders ([a-z][a-z-]+)", text)) <= set(COMMANDS) | later
    for name in set(re.findall(r"\bORDERS_[A-Z_]+\b", text)) - RESERVED:
        try:
            Settings.load(environ={name: "1"}, root=ROOT / "docs")
        except OrdersError as error:
            assert name not in error.what, error.what


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_on_a_page_exist(page: Path) -> None:
    for name in re.findall(
        r"\bdocs/[\w/.-]+\.md\b|\blocks/[\w.-]+\.\w+|\borders_platform\w*/[\w/]+\.py\b", page.read_text()
    ):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_links_on_a_page_lead_somewhere(page: Path) -> None:
    for place in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        assert place.startswith("https://") or (page.parent / place).exists(), place
