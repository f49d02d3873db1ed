"""Commands that judge voices: by figures (`evaluate`), by the promotion gate (`voices promote`), by ear (`ab`)."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicemill.flows.cli.options import EngineOption, JsonOption, RetiredOption, StoreOption, VoiceOption
from voicemill.flows.cli.running import checked, open_store, print_json, run_here
from voicemill.flows.plans import help_texts
from voicemill.model.pitch.engines import ENGINES

if TYPE_CHECKING:
    from voicemill.flows.evaluate import Evaluated
    from voicemill.flows.plans.evaluate import EvaluateOptions
    from voicemill.flows.plans.promote import PromoteOptions
    from voicemill.flows.promote import Promoted
    from voicemill.model.judging.judges import JudgeSettings
    from voicemill.model.judging.testset.testset import TestSetSettings

TestVersionOption = Annotated[int, typer.Option(min=0, help=help_texts.TEST_VERSION)]
SentencesOption = Annotated[int, typer.Option(min=1, max=500, help="Sentences of the test set, at most")]
TextOption = Annotated[list[str] | None, typer.Option(help="Sentence of your own to add; repeatable")]
SpeakerEncoderOption = Annotated[
    str,
    typer.Option(
        help="Speaker encoder: auto = the embedded one; hub id or folder of an x-vector network; light = that of a "
        "light voice; none"
    ),
]
RecogniserOption = Annotated[
    str,
    typer.Option(
        help="Recogniser: auto = that of the corpus, else the embedded English one; hub id or folder of a "
        "faster-whisper model; corpus = only that of the corpus; none"
    ),
]
OpinionOption = Annotated[
    str,
    typer.Option(help="MOS predictor: auto = the embedded one; TorchScript file, or folder of transformers; none"),
]
ThreadsOption = Annotated[int, typer.Option(min=0, help=help_texts.THREADS)]


def _test_settings(sentences: int, text: list[str] | None) -> "TestSetSettings":
    from voicemill.model.judging.testset.testset import TestSetSettings

    return checked(TestSetSettings, sentences=sentences, texts=tuple(text or ()))


def _judge_settings(**models: object) -> "JudgeSettings":
    from voicemill.model.judging.judges import JudgeSettings

    return checked(JudgeSettings, **models)


def evaluate(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Entry, the challenger first; repeatable. Default: the newest, champion and teacher"),
    ] = None,
    version: TestVersionOption = 0,
    sentences: SentencesOption = 20,
    text: TextOption = None,
    speaker_encoder: SpeakerEncoderOption = "auto",
    recogniser: RecogniserOption = "auto",
    opinion: OpinionOption = "auto",
    f0_engine: Annotated[str, typer.Option(help=f"F0 engine: {', '.join(ENGINES)}")] = "swift",
    engine: EngineOption = "auto",
    precision: Annotated[str, typer.Option(help=help_texts.PRECISION)] = "auto",
    threads: ThreadsOption = 0,
    listened: Annotated[int, typer.Option(min=0, max=50, help=help_texts.LISTENED)] = 8,
    allow_retired: RetiredOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure entries of a voice on held-out sentences.

    Prints similarity, word error rate and the other figures with confidence intervals, and writes a page to listen to
    the entries side by side.
    """
    from voicemill.flows.evaluation.scoring import judges_of
    from voicemill.flows.plans.evaluate import EvaluateOptions, plan_evaluation

    options = EvaluateOptions(
        store=store,
        voice=voice,
        numbers=number or [],
        version=version,
        testset=_test_settings(sentences, text),
        judges=_judge_settings(
            speaker_encoder=speaker_encoder, recogniser=recogniser, opinion=opinion, f0_engine=f0_engine
        ),
        engine=engine,
        precision=precision,
        threads=threads,
        listened=listened,
        allow_retired=allow_retired,
    )
    plan = plan_evaluation(options)  # wrong or missing input fails before anything starts
    judges_of(plan)
    run_here(plan.store, _evaluate_flow, options, _show_evaluated, as_json=as_json)


def _evaluate_flow() -> "Callable[[EvaluateOptions], Evaluated]":
    from voicemill.flows.evaluate import evaluate

    return evaluate


def _show_evaluated(result: "Evaluated") -> None:
    from voicemill.flows.display.terminal import say, table
    from voicemill.model.judging.scores import shown
    from voicemill.model.settings.promotion import METRICS

    differences = {(d["metric"], d["other"]): d for d in result.differences}
    others = [entry.entry for entry in result.entries[1:]]
    rows = []
    for name, metric in METRICS.items():
        if not any(name in entry.totals for entry in result.entries):
            continue
        label = name if name == metric.unit else f"{name}, {metric.unit}"
        figures = (shown(found.get(name)) for found in (result.recordings, *(e.totals for e in result.entries)))
        rows.append((label, *figures, *(_difference(differences.get((name, other))) for other in others)))
    heads = [f"{entry.entry} ({entry.role})" for entry in result.entries]
    columns = ("figure", "recordings", *heads, *(f"difference to {other}" for other in others))
    table(f"{result.voice} on {result.sentences} sentences, test set {result.testset[:12]}", columns, rows)
    for label, why in _missing(result):
        say(f": {why}", f"missing: {label}")
    for note in result.notes:
        say(note, "note: ")
    say(", ".join(f"{role} {model}" for role, model in result.judges.items()), "judged by: ")
    say(result.report, "report: ")


def _difference(row: dict[str, Any] | None) -> str:
    """Paired difference with its confidence interval and verdict; "" where there is none."""
    return "" if row is None else f"{row['mean']:+.3g} ({row['low']:+.3g} to {row['high']:+.3g}) {row['verdict']}"


def _missing(result: "Evaluated") -> list[tuple[str, str]]:
    """Names of the missing figures, with the entries that lack them if not all do, and why."""
    metrics: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, why in dict.fromkeys(item for entry in result.entries for item in entry.missing.items()):
        entries = tuple(entry.entry for entry in result.entries if entry.missing.get(name) == why)
        metrics.setdefault((why, entries), []).append(name)
    return [
        (", ".join(names) + ("" if len(entries) == len(result.entries) else f" of {', '.join(entries)}"), why)
        for (why, entries), names in metrics.items()
    ]


def promote(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[int, typer.Option(min=0, help=help_texts.CHALLENGER)] = 0,
    config: Annotated[str, typer.Option(help=help_texts.GATE_CONFIG)] = "default",
    version: TestVersionOption = 0,
    sentences: SentencesOption = 20,
    text: TextOption = None,
    speaker_encoder: SpeakerEncoderOption = "auto",
    recogniser: RecogniserOption = "auto",
    opinion: OpinionOption = "auto",
    threads: ThreadsOption = 0,
    force: Annotated[str, typer.Option(help=help_texts.FORCE_PROMOTION)] = "",
    as_json: JsonOption = False,
) -> None:
    """Make an entry champion of its lane, if the gate allows it.

    The entry is evaluated beside the present champion. Exit status 1: it was not promoted.
    """
    from voicemill.flows.plans.promote import PromoteOptions, plan_promotion

    options = PromoteOptions(
        store=store,
        voice=voice,
        number=number,
        config=config,
        version=version,
        testset=_test_settings(sentences, text),
        judges=_judge_settings(speaker_encoder=speaker_encoder, recogniser=recogniser, opinion=opinion),
        threads=threads,
        force=force,
    )
    plan = plan_promotion(options)  # wrong or missing input fails before anything starts
    result = run_here(plan.store, _promote_flow, options, _show_promoted, as_json=as_json)
    sys.exit(0 if result.promoted or result.verdict == "Champion already" else 1)


def _promote_flow() -> "Callable[[PromoteOptions], Promoted]":
    from voicemill.flows.promote import promote

    return promote


def _show_promoted(result: "Promoted") -> None:
    from voicemill.flows.display.terminal import say, table
    from voicemill.model.judging.scores import shown

    columns = ("figure", "challenger", "champion", "bound", "margin", "difference", "interval", "samples", "rule")
    rows = [
        (
            row["metric"],
            *(shown(row[name]) for name in ("challenger", "champion", "bound", "margin", "difference")),
            "" if row["low"] is None else f"{shown(row['low'])} to {shown(row['high'])}",
            row["samples"] or "",
            "" if row["outcome"] == "no rule" else row["outcome"],
        )
        for row in result.rows
    ]
    if rows:
        table(f"{result.entry} at the gate", columns, rows)
    say(f": {result.reason}", result.verdict, "bold green" if result.promoted else "bold")
    if result.report:
        say(result.report, "report: ")


def ab(
    store: StoreOption,
    a: Annotated[int, typer.Option(min=1, help="Entry of the voice")],
    b: Annotated[int, typer.Option(min=1, help="Entry to compare it with")],
    voice: VoiceOption = "",
    sentences: SentencesOption = 20,
    text: TextOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 = any free one")] = 0,
    allow_retired: RetiredOption = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser")] = False,
    result: Annotated[bool, typer.Option("--result", help="Only print the result of the votes so far")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve a blind listening test of two entries; count the votes.

    The page is served on 127.0.0.1 until Ctrl-C, then the result of all votes so far is printed.
    """
    from voicemill.flows.listening.ab import outcome
    from voicemill.flows.plans.evaluate import EvaluateOptions
    from voicemill.storage.voices import registry

    opened = open_store(store)
    name = voice or registry.only_voice(opened)
    if not result:
        options = EvaluateOptions(
            store=store,
            voice=name,
            numbers=[a, b],
            testset=_test_settings(sentences, text),
            allow_retired=allow_retired,
        )
        _serve(options, port, show=show)
    votes = outcome(opened, name, a, b)
    if as_json:
        print_json(votes.as_json())
    else:
        print("\n".join(votes.words()))


def _serve(options: "EvaluateOptions", port: int, *, show: bool) -> None:
    import contextlib
    import webbrowser

    from voicemill.flows.listening.ab import prepare
    from voicemill.flows.listening.server import BallotServer

    ballot = prepare(options, lambda words: print(words, file=sys.stderr))
    with BallotServer(ballot, port) as server:
        print(f"listen and vote: {server.address}   (Ctrl-C stops)", file=sys.stderr, flush=True)
        if show:
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    print(f"{ballot.votes} votes", file=sys.stderr)
