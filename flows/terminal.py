"""What a person sees: tables and progress bars on a terminal, by rich."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from flows.progress import Progress
from flows.summary import Summary
from storage.units import Seconds

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def clock(seconds: Seconds) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table; numbers stand to the right."""
    view = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    lines = [tuple(row) for row in rows]
    for place, name in enumerate(columns):
        numeric = bool(lines) and isinstance(lines[0][place], int | float)
        view.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in lines:
        view.add_row(*(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row))
    console.print(view)
    console.print()


@contextmanager
def progress_bar(progress: Progress, *, shown: bool) -> Iterator[None]:
    """A bar over the task runs of a refresh, with the stage that ended last."""
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
    """What a refresh did, on one screen."""
    if summary.published:
        console.print(f"[bold green]corpus version {summary.version} published[/]: ", end="")
    elif summary.version:
        console.print(f"[bold]nothing new[/]: corpus version {summary.version} stands: ", end="")
    console.print(
        f"{summary.speakers} speakers, {summary.utterances} utterances, "
        f"{clock(summary.seconds.get('kept', 0.0))} kept, in {summary.wall_s:.1f} s"
    )
    console.print()
    rows = [(n, c.run, c.skipped, c.failed, c.seconds, c.wall_s) for n, c in summary.stages.items()]
    table("stages", ("stage", "run", "skipped", "failed", "audio s", "work s"), rows)
    table("uploads", ("state", "uploads"), summary.uploads.items())
    show_ledger(summary.seconds, summary.reasons)
    for speaker, count in summary.held.items():
        console.print(f"held: {count} uploads of {speaker!r} have no consent on record; to grant it:")
        console.print(f"    voicemill consent grant --speaker {speaker!r} --store {store}")
    for path, error in list(summary.failures.items())[:10]:
        console.print(f"[red]failed[/] (tried again at the next refresh): {path}: {error}")
    for batch, error in summary.broken.items():
        console.print(f"[red]batch {batch} broke[/] (tried again at the next refresh): {error}")
    for problem in summary.problems[:10]:
        console.print(f"[yellow]inbox[/]: {problem}")
    if len(summary.problems) > 10:
        console.print(f"... and {len(summary.problems) - 10} more: `voicemill refresh --json` lists all")
    if summary.report:
        console.print(f"report:    {summary.report}")
    console.print(f"dashboard: voicemill dashboard --store {store}")


def show_ledger(seconds: Mapping[str, Seconds], reasons: Mapping[str, Seconds]) -> None:
    """Where every second went."""
    total = sum(seconds.values()) or 1.0
    rows = [(name, value, f"{value / total:.1%}") for name, value in seconds.items()]
    table("ledger: every second of every upload", ("outcome", "seconds", "share"), [*rows, ("total", total, "")])
    if reasons:
        table("why", ("reason", "seconds"), reasons.items())
