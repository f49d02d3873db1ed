"""Tables and progress bars on a terminal, by rich."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from voicemill.flows.display.progress import Progress
from voicemill.flows.display.summary import HELD, Summary
from voicemill.storage.outcomes import Outcome, UploadState
from voicemill.storage.units import Seconds

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

SHOWN = 10
"""Listed held speakers, failures, broken batches and problems, at most, of each kind."""


def clock(seconds: Seconds) -> str:
    """Format seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table; columns of numbers are aligned right."""
    view = Table(header_style="bold", box=None, pad_edge=False)
    lines = [tuple(row) for row in rows]
    for place, name in enumerate(columns):
        numeric = bool(lines) and isinstance(lines[0][place], int | float)
        view.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in lines:
        view.add_row(*(Text(f"{value:,.1f}" if isinstance(value, float) else str(value)) for value in row))
    say(title, style="italic")
    console.print(view)
    console.print()


def say(text: str, label: str = "", style: str = "", *, wraps: bool = False) -> None:
    """Print a line without markup and without wrapping, so that paths and commands can be copied; prose `wraps`."""
    console.print(Text.assemble((label, style), text) if label else Text(text, style), soft_wrap=not wraps)


@contextmanager
def progress_bar(progress: Progress, *, shown: bool) -> Iterator[None]:
    """Show a bar over the task runs of a refresh, captioned with the stage and batch that ended last."""
    if not shown:
        yield
        return
    columns = (TextColumn("{task.description:<24}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def update(now: Progress) -> None:
            bar.update(task, total=now.total or None, completed=now.done, description=now.last or "scanning the inbox")

        progress.watchers.append(update)
        yield


def show_summary(summary: Summary, *, store: str) -> None:
    """Print the result of a refresh on one screen. `store`: path as the user gave it."""
    from voicemill.flows.report.content import MEANING

    counts = (
        f"{summary.speakers} speakers, {summary.utterances} utterances, "
        f"{clock(summary.seconds.get('kept', 0.0))} kept, in {summary.wall_s:.1f} s"
    )
    if summary.published:
        say(f": {counts}", f"corpus version {summary.version} published", "bold green")
    elif summary.version:
        say(f": corpus version {summary.version} is current: {counts}", "nothing new", "bold")
    else:
        say(f": {HELD if summary.all_held else counts}", "no corpus version yet", "bold")
    console.print()
    rows = [(n, c.run, c.skipped, c.failed, c.seconds, c.wall_s) for n, c in summary.stages.items()]
    table("stages, by batches", ("stage", "run", "skipped", "failed", "audio s", "work s"), rows)
    states = [(UploadState(name), count) for name, count in summary.uploads.items()]
    states.sort(key=lambda state: list(UploadState).index(state[0]))
    if states:
        described = [(s.value, n, "" if s is UploadState.PREPARED else MEANING[s]) for s, n in states]
        table("uploads", ("state", "uploads", ""), described)
    if summary.seconds:
        show_ledger(summary.seconds, summary.reasons)
    show_problems(summary, store)
    if summary.report:
        say(os.path.join(store, os.path.relpath(summary.report, summary.store)), "report:    ")
    say(shlex.join(["voicemill", "dashboard", "--store", store]), "dashboard: ")


def show_problems(summary: Summary, store: str) -> None:
    """Print what may need attention, with the command that resolves it where there is one."""
    if summary.all_held:
        words = ["voicemill", "consent", "grant", "--all-in", summary.inbox or "INBOX", "--store", store]
        say(f": grant consent of all speakers with: {shlex.join(words)}", "held", "yellow")
    for gap in summary.without_text[:SHOWN]:
        say(f": {gap['line']}", "cannot be trained" if gap["untrainable"] else "without text", "yellow", wraps=True)
    for speaker, count in list(summary.held.items())[:SHOWN]:
        command = shlex.join(["voicemill", "consent", "grant", "--speaker", speaker, "--store", store])
        say(f": {speaker}, {count} uploads; grant consent with: {command}", "held", "yellow")
    for path, error in list(summary.failures.items())[:SHOWN]:
        say(f" (the next refresh retries it): {path}: {error}", "failed", "red")
    for batch, error in list(summary.broken.items())[:SHOWN]:
        say(f" (the next refresh retries it): batch {batch[:8]}: {error}", "broke", "red")
    for problem in summary.problems[:SHOWN]:
        say(f": {problem}", "inbox", "yellow")
    lists = (summary.held, summary.failures, summary.broken, summary.problems, summary.without_text)
    if rest := sum(max(len(items) - SHOWN, 0) for items in lists):
        say(f"and {rest} more: voicemill refresh --json lists all")
    if any(lists):
        console.print()


def show_ledger(seconds: Mapping[str, Seconds], reasons: Mapping[str, Seconds]) -> None:
    """Print the ledger: seconds by outcome and by reason."""
    from voicemill.flows.report.content import meaning

    total = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: list(Outcome).index(Outcome(item[0])))
    rows = [(name, value, f"{value / (total or 1):6.1%}") for name, value in ordered]
    table("ledger: every second of every upload", ("outcome", "seconds", " share"), [*rows, ("total", total, "")])
    if reasons:
        rows = [(name, value, meaning(name)) for name, value in sorted(reasons.items(), key=lambda item: -item[1])]
        table("why not kept", ("reason", "seconds", ""), rows)
