"""Terminal output can be read and copied, whatever names it holds."""

import io
import shlex

import pytest
from rich.console import Console

from voicemill.flows.display import terminal
from voicemill.flows.display.progress import StageCount
from voicemill.flows.display.summary import Summary
from voicemill.storage.outcomes import UploadState

STORE = "a store/" + "deep/" * 30 + "[bold]"
SPEAKER = "[red]O'Neil[/]"


def summary(**changed: object) -> Summary:
    """Summary of a refresh with every kind of row."""
    values: dict[str, object] = {
        "store": f"/data/{STORE}",
        "version": 3,
        "published": True,
        "uploads": {state.value: 2 for state in UploadState},
        "seconds": {"failed": 0.0, "silence": 40.0, "kept": 60.0},
        "reasons": {"too_short": 1.0, "no_speech": 39.0},
        "stages": {"decode": StageCount(run=1, skipped=2, failed=3, seconds=100.0, wall_s=5.0)},
        "speakers": 2,
        "utterances": 9,
        "batches_run": 1,
        "batches_unchanged": 2,
        "held": {SPEAKER: 2},
        "problems": [f"[x{n}]: unsafe" for n in range(12)],
        "failures": {"[bold]a.wav": "stage_error: f0: list index [0]"},
        "report": f"/data/{STORE}/reports/version-3.html",
    }
    return Summary(**values | changed)  # type: ignore[arg-type]


def shown(found: Summary, monkeypatch: pytest.MonkeyPatch, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    monkeypatch.setattr(terminal, "console", console)
    terminal.show_summary(found, store=STORE)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [40, 100])
def test_commands_and_paths_can_be_copied(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(summary(), monkeypatch, width)
    assert f"report:    {STORE}/reports/version-3.html" in lines
    (grant,) = (line.partition("grant consent with: ")[2] for line in lines if line.startswith("held:"))
    assert shlex.split(grant) == ["voicemill", "consent", "grant", "--speaker", SPEAKER, "--store", STORE]
    assert shlex.split(lines[-1]) == ["dashboard:", "voicemill", "dashboard", "--store", STORE]


def test_a_first_refresh_without_consent_says_so_and_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(summary(version=0, published=False, inbox="in [box]", held={"ann": 2}), monkeypatch)
    assert "no corpus version yet: no upload has consent: nothing was prepared, and nothing is published" in lines
    (grant,) = (line.partition("with: ")[2] for line in lines if "--all-in" in line)
    assert shlex.split(grant) == ["voicemill", "consent", "grant", "--all-in", "in [box]", "--store", STORE]


def test_whoever_cannot_be_trained_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps = [{"line": "ann: 3 utterances without text: [why]", "untrainable": True}, {"line": "x", "untrainable": False}]
    lines = shown(summary(without_text=gaps), monkeypatch)
    assert "cannot be trained: ann: 3 utterances without text: [why]" in lines
    assert "without text: x" in lines


def test_brackets_are_text_and_long_lists_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(summary(), monkeypatch)
    assert "failed (the next refresh retries it): [bold]a.wav: stage_error: f0: list index [0]" in lines
    assert sum(line.startswith("inbox: [x") for line in lines) == terminal.SHOWN
    assert "and 2 more: voicemill refresh --json lists all" in lines


def test_titles_take_one_line_and_states_have_meanings(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(summary(), monkeypatch)
    assert "ledger: every second of every upload" in lines
    assert lines[0].startswith("corpus version 3 published: 2 speakers, 9 utterances, 0:01:00 kept")
    start = lines.index("uploads") + 2
    states = [line.split(maxsplit=2) for line in lines[start : start + len(UploadState)]]
    assert [state[0] for state in states] == [state.value for state in UploadState]
    assert {state[0] for state in states if len(state) == 2} == {"prepared"}
    ledger = lines.index("ledger: every second of every upload")
    assert [line.split()[0] for line in lines[ledger + 2 : ledger + 6]] == ["kept", "silence", "failed", "total"]
    why = lines.index("why not kept")
    assert [line.split()[0] for line in lines[why + 2 : why + 4]] == ["no_speech", "too_short"]


def test_an_empty_store_has_no_empty_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = summary(
        version=0, published=False, uploads={}, seconds={}, reasons={}, held={}, problems=[], failures={}, report=""
    )
    lines = shown(nothing, monkeypatch)
    assert lines[0].startswith("no corpus version yet: ")
    assert not {"uploads", "why not kept"} & set(lines)
    assert not any(line.startswith(("report:", "held:", "ledger:")) for line in lines)
