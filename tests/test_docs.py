"""The README says what the program does: every reason, state, command, config and folder of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from voicemill.storage.records import Outcome, Reason, UploadState
from voicemill.tasks.config import SHIPPED, STAGES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_in_the_readme_with_its_meaning(reason: Reason) -> None:
    assert f"| `{reason.value}` | {reason.meaning} |" in README


@pytest.mark.parametrize("word", [*Outcome, *UploadState])
def test_every_outcome_and_state_is_explained(word: str) -> None:
    assert re.search(rf"^\| \*\*{word}\*\* \| .{{20,}} \|$", README, re.MULTILINE)


def test_every_stage_config_and_folder_is_named() -> None:
    names = [f"`{stage.name}`" for stage in STAGES] + [f"`{path.stem}`" for path in SHIPPED.glob("*.toml")]
    names += [f"`{folder}/`" for folder in ("flows", "tasks", "model", "storage", "tests")]
    assert [name for name in names if name not in README] == []


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


def test_every_command_stands_in_the_readme() -> None:
    found = commands()
    assert len(found) >= 15
    assert [command for command in found if f"`{command}" not in README] == []


def test_the_readme_names_no_command_that_is_not_there() -> None:
    found = {command.split()[1] for command in commands()}
    named = set(re.findall(r"`voicemill ([a-z]+)", README))
    assert named - found == set()
