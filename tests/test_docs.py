"""The README and the manuals describe the program: every reason, state, command, config and room of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from voicemill.storage.outcomes import Outcome, Reason, UploadState
from voicemill.tasks.config import SHIPPED
from voicemill.tasks.registry import STAGES

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("flows", "tasks", "model", "storage")
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUALS = {floor: (ROOT / floor / "README.md").read_text(encoding="utf-8") for floor in FLOORS}
PAGES = {"README.md": README} | {f"{floor}/README.md": text for floor, text in MANUALS.items()}
EVERYTHING = "\n".join(PAGES.values())


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_in_the_manual_with_its_meaning(reason: Reason) -> None:
    assert f"| `{reason.value}` | {reason.meaning} |" in MANUALS["storage"]


@pytest.mark.parametrize("word", [*Outcome, *UploadState])
def test_every_outcome_and_state_is_explained(word: str) -> None:
    assert re.search(rf"^\| \*\*{word}\*\* \| .{{20,}} \|$", MANUALS["storage"], re.MULTILINE)


def test_every_stage_and_config_is_named() -> None:
    assert [stage.name for stage in STAGES if f"| `{stage.name}` |" not in MANUALS["tasks"]] == []
    assert [path.stem for path in SHIPPED.glob("*.toml") if f"`{path.stem}`" not in MANUALS["flows"]] == []


def test_every_room_stands_in_the_tree_of_the_readme() -> None:
    rooms = {path.parent.relative_to(ROOT) for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    inner = {room.as_posix() for room in rooms if len(room.parts) <= 2}
    assert sorted(room for room in inner if f"`{room}/`" not in README) == []


def test_the_readme_is_a_door() -> None:
    assert len(README.splitlines()) <= 220


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """To a file that is in the tree and, where a section is named, to a heading of it."""
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        path, _, section = target.partition("#")
        file = (folder / path).resolve() if path else ROOT / page
        assert file.is_file(), f"{page}: {target}"
        if section:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert section in slugs, f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    """`stages/mel.py` is looked for below the folder of its page, `tests/bench/f0.py` below the root."""
    named = re.findall(r"`(?:python )?([\w/-]+\.(?:py|yaml|toml|html))`", PAGES[page])
    folder = (ROOT / page).parent
    assert [name for name in named if "<" not in name and not any((at / name).exists() for at in (ROOT, folder))] == []


def commands() -> list[str]:
    """Every command of the command line, groups resolved."""
    code = (
        "import typer; from voicemill.flows.cli.main import app\n"
        "def walk(c, at):\n"
        "    for n, s in getattr(c, 'commands', {}).items(): walk(s, [*at, n])\n"
        "    if not getattr(c, 'commands', None): print(' '.join(at))\n"
        "walk(typer.main.get_command(app), ['voicemill'])"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()


def test_every_command_stands_in_the_manual() -> None:
    found = commands()
    assert len(found) >= 15
    assert [command for command in found if f"`{command}" not in MANUALS["flows"]] == []


def test_no_page_names_a_command_that_is_not_there() -> None:
    found = {command.split()[1] for command in commands()}
    named = set(re.findall(r"`voicemill ([a-z]+)", EVERYTHING))
    assert named - found == set()
