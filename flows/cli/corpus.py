"""Commands of the corpus: refresh it, list its versions, account for every second, write its report."""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicemill.flows.cli.options import (
    ConfigOption,
    ConsentOption,
    InboxOption,
    JsonOption,
    LanguageOption,
    OpenOption,
    StoreOption,
)
from voicemill.flows.cli.running import interactive, open_store, preload_tables, print_json, run_here
from voicemill.flows.plans import help_texts

if TYPE_CHECKING:
    from voicemill.flows.display.summary import Summary
    from voicemill.flows.plans.aligner import Aligner

VersionOption = Annotated[int | None, typer.Option("--version", help="Corpus version. Default: the latest")]


def refresh(
    inbox: InboxOption,
    store: StoreOption,
    config: ConfigOption = "default",
    assume_consent: ConsentOption = "",
    language: LanguageOption = "",
    wait: Annotated[bool, typer.Option(help=help_texts.WAIT)] = False,
    force_publish: Annotated[bool, typer.Option(help=help_texts.FORCE_PUBLISH)] = False,
    check: Annotated[bool, typer.Option("--check", help=help_texts.CHECK)] = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare new and changed uploads; publish a corpus version.

    Unchanged work is taken from the stage cache: repeated after a kill, the command resumes where it stopped, and with
    nothing new it publishes nothing.
    """
    from voicemill.flows.display.progress import fresh
    from voicemill.flows.display.terminal import progress_bar, show_summary
    from voicemill.tasks.config import load

    _ = load(config).models  # a wrong setting or a missing model fails before anything starts
    opened = open_store(store, create=True)
    options = {
        "inbox": inbox,
        "store": store,
        "config": config,
        "assume_consent": assume_consent,
        "language": language,
        "wait": wait,
        "force_publish": force_publish,
        "check": check,
    }
    bar = progress_bar(fresh(), shown=interactive(as_json=as_json))
    run_here(opened, _refresh_flow, options, partial(show_summary, store=store), as_json=as_json, bar=bar)


def _refresh_flow() -> "Callable[[dict[str, Any]], Summary]":
    preload_tables()
    from voicemill.flows import refresh as flow

    return lambda options: flow.refresh(flow.RefreshOptions(**options))


def versions(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the corpus versions of a store."""
    from voicemill.flows.display.terminal import clock, say, table
    from voicemill.storage.corpus import versions as corpus_versions

    history = corpus_versions.history(open_store(store))
    if as_json:
        print_json([asdict(version) for version in history])
    elif not history:
        say(f"no corpus version yet: voicemill refresh --inbox INBOX --store {store}")
    else:
        columns = ("version", "created", "speakers", "utterances", "kept", "uploads", "recipe")
        rows = [
            (
                v.number,
                v.created,
                v.counts.speakers,
                v.counts.utterances,
                clock(v.counts.seconds["kept"]),
                sum(v.counts.uploads.values()),
                v.recipe[:12],
            )
            for v in history
        ]
        table("corpus versions", columns, rows)


def ledger(
    store: StoreOption,
    by: Annotated[str, typer.Option(help="Group by outcome, reason, stage, speaker, upload or path")] = "outcome",
    version: VersionOption = None,
    speaker: Annotated[str | None, typer.Option(help="Only this speaker")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where every second of every upload went."""
    from voicemill.flows.display.terminal import table
    from voicemill.storage.corpus import ledger as corpus_ledger
    from voicemill.storage.corpus.versions import CorpusVersion
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.inbox.names import speaker_name

    allowed = corpus_ledger.By.__args__  # type: ignore[attr-defined]
    if by not in allowed:
        raise ConfigError(f"--by {by}: expected one of {', '.join(allowed)}")
    name = None if speaker is None else speaker_name(speaker)
    rows = CorpusVersion.open(open_store(store), version).ledger(speaker=name)
    lines = corpus_ledger.summarise(rows, by)  # type: ignore[arg-type]
    if as_json:
        print_json([asdict(line) | {"seconds": line.seconds} for line in lines])
        return
    outcomes = ("kept", "silence", "filtered", "failed", "corrupt")
    table(
        f"ledger by {by}, seconds",
        (by, "uploads", "seconds", *outcomes),
        [
            (line.name or "kept", line.uploads, line.seconds, *(getattr(line, outcome) for outcome in outcomes))
            for line in lines
        ],
    )


def report(store: StoreOption, version: VersionOption = None, show: OpenOption = False) -> None:
    """Write the HTML report of a corpus version; print its path."""
    import webbrowser

    from voicemill.flows.report import page

    path = page.write(open_store(store), version)
    print(path)
    if show:
        webbrowser.open(path.as_uri())


def check(
    store: StoreOption,
    repair: Annotated[bool, typer.Option("--repair", help="Make again what can be made, name the rest")] = False,
    wait: Annotated[bool, typer.Option(help=help_texts.WAIT)] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every file of a store, and name the damaged ones.

    Compares bytes with digests, logs with shards, versions with logs and counts, voices with their cards. Changes
    nothing without --repair. Exit status 1: something is damaged or lost; its line names the file.
    """
    from voicemill.flows.display.terminal import say
    from voicemill.storage.checking.check import check as check_store
    from voicemill.storage.checking.repair import repair as repair_store
    from voicemill.storage.store import Store

    opened = Store.open(store, damaged=True)
    with opened.locked(f"check (process {os.getpid()})", wait=wait):
        result = repair_store(opened) if repair else check_store(opened)
    if as_json:
        print_json(asdict(result))
    else:
        for damage in result.repaired:
            say(f"{damage.path} {damage.problem}", "repaired: ", "green")
        for damage in result.damage:
            say(f"{damage.path} {damage.problem}", "damaged: ", "red")
        for line in result.lost:
            say(line, "lost: ", "red")
        say(f"{result.files} files read, {result.size / 1e6:,.1f} MB of them shards; {len(result.damage)} problems")
    sys.exit(1 if result.damage or result.lost else 0)


def diarise(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings in which several people speak")],
    rttm: Annotated[Path | None, typer.Option(help="Folder for the turns of each, as <recording>.rttm")] = None,
    to: Annotated[str | None, typer.Option(help="Inbox in which each voice becomes a recording of its own")] = None,
    store: Annotated[str | None, typer.Option(help="Store by whose speakers the voices are named")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell apart the people who speak in recordings.

    Turns come from the RTTM file beside a recording, so that you can correct them, else from the voices. With --to a
    voice goes to <recording>-<voice>/, or to the folder of the speaker in --store whose voice it is: every person gets
    a folder, consent and erasure.
    """
    from voicemill.flows.display.terminal import table
    from voicemill.flows.plans.diarise import diarise_recordings, known_references
    from voicemill.storage.inbox.inbox import Inbox

    inbox = Inbox(to) if to is not None else None
    known = known_references(open_store(store)) if store is not None else {}
    voices = list(diarise_recordings(recordings, rttm=rttm, inbox=inbox, known=known))
    if as_json:
        print_json([voice.as_json() for voice in voices])
        return
    columns = ("recording", "voice", "turns", "seconds", "speaker", "in the inbox", "")
    rows = [
        (Path(v.recording).name, v.voice, v.turns, f"{v.seconds:.1f}", v.speaker or "-", v.path or "-", v.outcome)
        for v in voices
    ]
    table(f"voices of {len(recordings)} recordings", columns, rows)


aligner = typer.Typer(help="Train an aligner of your own, for word times in any language.", no_args_is_help=True)


@aligner.command("train")
def train_aligner(
    store: StoreOption,
    language: Annotated[str, typer.Option(help="ISO 639-1 code of the language")],
    version: VersionOption = None,
    out: Annotated[str, typer.Option(help="Folder to write. Default: models/aligner-LANGUAGE in the store")] = "",
    as_json: JsonOption = False,
) -> None:
    """Train a small aligner on the speech with text of a version.

    It takes minutes on a CPU. The aligner is measured on speech that it was not trained on; [align.models] takes it.
    """
    from voicemill.flows.demo.timed_speech import is_installed, timed_speech
    from voicemill.flows.display.terminal import errors, say
    from voicemill.flows.plans.aligner import make_aligner

    show = errors.print if interactive(as_json=as_json) else None
    speak = timed_speech if is_installed() else None
    made = make_aligner(open_store(store), language, version=version, out=out, speak=speak, progress=show)
    if as_json:
        print_json(made.as_json())
        return
    _show_aligner(made)
    say(f'[align.models]\n{language} = "{made.folder}"', "in the config:\n")


def _show_aligner(made: "Aligner") -> None:
    """Tables of the figures: boundaries, and the texts told apart."""
    from voicemill.flows.display.terminal import table

    figures = made.figures
    groups = [name for name in ("new_speakers", "known_speakers") if "joints" in figures[name]]
    bounds = [(name.replace("_", " "), figures[name]["joints"]) for name in groups]
    if figures["synthetic"]:
        bounds.append(("synthetic speech", figures["synthetic"]))
    columns = ("boundaries of", "count", "median, ms", "90 %, ms", "within 50 ms, %")
    trained = figures["train"]
    table(
        f"aligner of {figures['language']}, trained on {trained['seconds']:.0f} s of {trained['speakers']} speakers",
        columns,
        [(n, b["count"], b["median_ms"], b["p90_ms"], 100 * b["within_50_ms"]) for n, b in bounds],
    )
    shares = ("auc", "auc_half", "right_kept", "wrong_found")
    texts = [(name.replace("_", " "), figures[name]["texts"]) for name in groups]
    table(
        "wrong texts",
        ("speech of", "right", "wrong", "AUC, %", "AUC half wrong, %", "right kept, %", "wrong found, %"),
        [
            (n, t["right"], t["wrong"], *("-" if t[part] is None else 100 * t[part] for part in shares))
            for n, t in texts
        ],
    )
