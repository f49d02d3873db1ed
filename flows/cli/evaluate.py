"""`voicemill evaluate` and `voicemill ab`: judging voices by figures, and by ear."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from voicemill.flows.cli.options import (
    JsonOption,
    OpinionOption,
    RecogniserOption,
    SentencesOption,
    SpeakerEncoderOption,
    StoreOption,
    TestVersionOption,
    TextOption,
    ThreadsOption,
    VoiceOption,
)
from voicemill.flows.cli.running import run_here

if TYPE_CHECKING:
    from voicemill.flows.evaluate import Evaluated
    from voicemill.flows.plans.evaluate import EvaluateOptions

Chosen = TypeVar("Chosen")
RetiredOption = Annotated[bool, typer.Option("--allow-retired", help="Hear retired entries too.")]


def evaluate(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[
        list[int] | None,
        typer.Option(min=1, help="An entry, the challenger first; may be given again. Default: newest and champion."),
    ] = None,
    version: TestVersionOption = 0,
    sentences: SentencesOption = 20,
    text: TextOption = None,
    speaker_encoder: SpeakerEncoderOption = "light",
    recogniser: RecogniserOption = "corpus",
    opinion: OpinionOption = "",
    f0_engine: Annotated[str, typer.Option(help="swift, autocorrelation, pyin, harvest, dio or fcpe.")] = "swift",
    engine: Annotated[Literal["auto", "torch", "onnx"], typer.Option(help="What computes the networks.")] = "auto",
    precision: Annotated[str, typer.Option(help="As of `voicemill speak`.")] = "auto",
    threads: ThreadsOption = 0,
    listened: Annotated[int, typer.Option(min=0, max=50, help="Sentences to listen to on the page.")] = 8,
    allow_retired: RetiredOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let entries of a voice say held-back sentences; write their figures and a page to listen to side by side."""
    from voicemill.flows.evaluation.scoring import judges_of
    from voicemill.flows.plans.evaluate import EvaluateOptions, plan_evaluation
    from voicemill.model.judging.judges import JudgeSettings
    from voicemill.model.judging.testset.testset import TestSetSettings

    named = {"speaker_encoder": speaker_encoder, "recogniser": recogniser, "opinion": opinion, "f0_engine": f0_engine}
    options = EvaluateOptions(
        store=store,
        voice=voice,
        numbers=number or [],
        version=version,
        testset=checked(TestSetSettings, sentences=sentences, texts=tuple(text or ())),
        judges=checked(JudgeSettings, **named),
        engine=engine,
        precision=precision,
        threads=threads,
        listened=listened,
        allow_retired=allow_retired,
    )
    plan = plan_evaluation(options)  # what is missing or wrong is said before anything starts
    judges_of(plan)
    run_here(plan.store, _flow, options, _show, as_json=as_json)


def _flow() -> "Callable[[EvaluateOptions], Evaluated]":
    from voicemill.flows.evaluate import evaluate

    return evaluate


def checked(settings: type[Chosen], **values: object) -> Chosen:
    """Settings of these values; what is wrong is one line."""
    from pydantic import ValidationError

    from voicemill.storage.errors import ConfigError

    try:
        return settings(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(wrong) from error


def _show(result: "Evaluated") -> None:
    from voicemill.flows.display.terminal import say, table
    from voicemill.model.judging.scores import shown
    from voicemill.model.settings.promotion import METRICS

    differences = {(d["metric"], d["other"]): d for d in result.differences}
    others = [each.entry for each in result.entries[1:]]
    rows = []
    for name, metric in METRICS.items():
        if not any(name in each.totals for each in result.entries):
            continue
        against = [differences.get((name, other)) for other in others]
        words = [f"{d['mean']:+.3g} ({d['low']:+.3g} to {d['high']:+.3g}) {d['verdict']}" if d else "" for d in against]
        figure = name if name == metric.unit else f"{name}, {metric.unit}"
        rows.append((figure, *(shown(each.totals.get(name)) for each in result.entries), *words))
    heads = [f"{each.entry} ({each.role})" for each in result.entries]
    columns = ("figure", *heads, *(f"difference to {other}" for other in others))
    table(f"{result.voice} on {result.sentences} sentences, test set {result.testset[:12]}", columns, rows)
    missing: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, why in {(name, why): None for each in result.entries for name, why in each.missing.items()}:
        of = tuple(each.entry for each in result.entries if each.missing.get(name) == why)
        missing.setdefault((why, of), []).append(name)
    for (why, of), names in missing.items():
        whose = "" if len(of) == len(result.entries) else f" of {', '.join(of)}"
        say(f": {why}", f"missing: {', '.join(names)}{whose}")
    for note in result.notes:
        say(note, "note: ")
    say(result.report, "report: ")


def ab(
    store: StoreOption,
    a: Annotated[int, typer.Option(min=1, help="An entry of the voice.")],
    b: Annotated[int, typer.Option(min=1, help="Another one.")],
    voice: VoiceOption = "",
    sentences: SentencesOption = 20,
    text: TextOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine; 0 = any that is free.")] = 0,
    allow_retired: RetiredOption = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    result: Annotated[bool, typer.Option("--result", help="Only say what the votes so far tell.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve a blind listening page for two entries until interrupted, and count the votes."""
    from voicemill.flows.plans.evaluate import EvaluateOptions
    from voicemill.model.judging.testset.testset import TestSetSettings
    from voicemill.storage.store import Store
    from voicemill.storage.voices import registry

    opened = Store.open(store)
    name = voice or registry.only_voice(opened)
    if not result:
        settings = checked(TestSetSettings, sentences=sentences, texts=tuple(text or ()))
        numbers = [a, b]
        options = EvaluateOptions(
            store=store, voice=name, numbers=numbers, testset=settings, allow_retired=allow_retired
        )
        _serve(options, port, show=show)
    from voicemill.flows.listening.ab import outcome

    found = outcome(opened, name, a, b)
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        print("\n".join(found.words()))


def _serve(options: "EvaluateOptions", port: int, *, show: bool) -> None:
    import contextlib
    import sys
    import webbrowser

    from voicemill.flows.listening.ab import prepare
    from voicemill.flows.listening.server import BallotServer

    ballot = prepare(options, lambda words: print(words, file=sys.stderr))
    with BallotServer(ballot, port) as server:
        print(f"listen and vote: {server.address}   (Ctrl-C ends it)", file=sys.stderr, flush=True)
        if show:
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    print(f"{ballot.votes} votes", file=sys.stderr)
