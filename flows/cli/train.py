"""Commands that make voices: train one on a corpus version, distil it into students, compress it to ONNX graphs."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import (
    JsonOption,
    NewVoiceOption,
    PhaseOption,
    RetiredOption,
    StoreOption,
    StudentsOption,
    TargetOption,
    TrainingConfigOption,
    VoiceOption,
)
from voicemill.flows.cli.running import run_here, training_bars
from voicemill.flows.plans import help_texts

if TYPE_CHECKING:
    from voicemill.flows.compress import Compressed
    from voicemill.flows.distill import Distilled
    from voicemill.flows.plans.compress import CompressOptions
    from voicemill.flows.plans.distill import DistillOptions
    from voicemill.flows.plans.retrain import RetrainOptions
    from voicemill.flows.retrain import Retrained
    from voicemill.storage.voices.cards import Training


def train(
    store: StoreOption,
    config: TrainingConfigOption = "default",
    phase: PhaseOption = None,
    speaker: TargetOption = None,
    version: Annotated[int | None, typer.Option(min=1, help="Corpus version. Default: the latest")] = None,
    voice: NewVoiceOption = "",
    start_s1: Annotated[str, typer.Option(help=help_texts.START_S1)] = "",
    start_s2: Annotated[str, typer.Option(help=help_texts.START_S2)] = "",
    start_discriminator: Annotated[str, typer.Option(help=help_texts.START_DISCRIMINATOR)] = "",
    start_light: Annotated[str, typer.Option(help=help_texts.START_LIGHT)] = "",
    if_new: Annotated[
        bool, typer.Option("--if-new", help="Train only if there is enough new speech, as the deployments do")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a voice on a corpus version.

    Repeated, it resumes where it was killed, and does nothing where all is done. Exit status 1: the entry that these
    trainings make is retired.
    """
    from voicemill.flows.plans.retrain import RETIRED, RetrainOptions, plan_retrain

    options = RetrainOptions(
        store=store,
        config=config,
        phases=phase or [],
        speakers=speaker or [],
        version=version or 0,
        voice=voice,
        start_s1=start_s1,
        start_s2=start_s2,
        start_discriminator=start_discriminator,
        start_light=start_light,
        force=not if_new,
    )
    plan = plan_retrain(options)  # wrong or missing input fails before anything starts
    bars = training_bars(as_json=as_json)
    result = run_here(plan.store, _retrain_flow, options, _show_trained, as_json=as_json, bar=bars)
    sys.exit(1 if result.verdict == RETIRED else 0)


def _retrain_flow() -> "Callable[[RetrainOptions], Retrained]":
    from voicemill.flows.retrain import retrain

    return retrain


def _show_trained(result: "Retrained") -> None:
    from voicemill.flows.display.terminal import say
    from voicemill.flows.plans.retrain import RETIRED

    if result.verdict == RETIRED:
        say(f": {result.reason}", f"{result.voice}: no usable entry", "bold")
        return
    if not result.trained:
        say(f": {result.reason}", f"{result.voice} not trained", "bold")
        return
    say(
        f": {result.reason}, in {result.wall_s:.1f} s",
        f"{result.voice} trained on version {result.version}",
        "bold green",
    )
    _training_table(result.trainings)
    say(result.entry, "entry: ")
    say(result.speak, "speak: ")


def distill(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[int, typer.Option(min=0, help=help_texts.TEACHER)] = 0,
    which: StudentsOption = "full",
    config: TrainingConfigOption = "default",
    version: Annotated[int, typer.Option(min=0, help=help_texts.TEACHER_VERSION)] = 0,
    allow_retired: RetiredOption = False,
    as_json: JsonOption = False,
) -> None:
    """Distil a trained voice into small, fast students.

    Repeated, it resumes where it was killed, and does nothing where all is done.
    """
    from voicemill.flows.plans.distill import DistillOptions, plan_distill

    options = DistillOptions(
        store=store,
        voice=voice,
        number=number,
        which=which,
        config=config,
        version=version,
        allow_retired=allow_retired,
    )
    plan = plan_distill(options)  # wrong or missing input fails before anything starts
    run_here(plan.store, _distill_flow, options, _show_distilled, as_json=as_json, bar=training_bars(as_json=as_json))


def _distill_flow() -> "Callable[[DistillOptions], Distilled]":
    from voicemill.flows.distill import distill

    return distill


def _show_distilled(result: "Distilled") -> None:
    from voicemill.flows.display.terminal import say

    for student in result.students:
        share = student.bytes / max(student.teacher_bytes, 1)
        say(
            f": {student.bytes / 1e6:.2f} MB, {share:.0%} of entry {result.teacher}",
            f"{result.voice} entry {student.number} ({student.kind})",
            "bold green",
        )
        _training_table(student.trainings)
        say(student.entry, "entry: ")


def _training_table(trainings: "Sequence[Training]") -> None:
    from voicemill.flows.display.terminal import table

    columns = ("network", "phase", "outcome", "steps", "best step", "validation loss", "last loss")
    rows = [
        (t.network, t.phase, t.outcome, t.steps, t.best_step, _number(t.best), _number(t.losses.get("loss")))
        for t in trainings
    ]
    table("trainings", columns, rows)


def compress(
    store: StoreOption,
    voice: VoiceOption = "",
    kind: Annotated[Literal["", "trained", "student", "light"], typer.Option(help=help_texts.LANE_TO_COMPRESS)] = "",
    number: Annotated[int, typer.Option(min=0, help=help_texts.ENTRY_TO_COMPRESS)] = 0,
    precision: Annotated[
        Literal["int8", "float16", "float32"], typer.Option(help=help_texts.COMPRESSED_PRECISION)
    ] = "int8",
    sentences: Annotated[int, typer.Option(min=1, max=100, help=help_texts.COMPARED_SENTENCES)] = 3,
    allow_retired: RetiredOption = False,
    as_json: JsonOption = False,
) -> None:
    """Export a voice as ONNX graphs in 8 or 16 bits.

    The graphs become an entry of their own; size, speed and distance to the original are measured and printed.
    """
    from voicemill.flows.plans.compress import CompressOptions, plan_compression

    options = CompressOptions(
        store=store,
        voice=voice,
        kind=kind,
        number=number,
        precision=precision,
        sentences=sentences,
        allow_retired=allow_retired,
    )
    plan = plan_compression(options)  # wrong or missing input fails before anything starts
    run_here(plan.store, _compress_flow, options, _show_compressed, as_json=as_json)


def _compress_flow() -> "Callable[[CompressOptions], Compressed]":
    from voicemill.flows.compress import compress

    return compress


def _show_compressed(result: "Compressed") -> None:
    from voicemill.flows.display.terminal import say, table

    total = result.parts[-1]
    title = f"{result.voice} entry {result.number} (compressed)"
    say(f": {total.after / 1e6:.2f} MB, {total.smaller:.2f} times smaller than {result.parent}", title, "bold green")
    sizes = [
        (
            part.network,
            f"{part.parameters:,}",
            f"{part.before / 1e6:.2f}",
            f"{part.after / 1e6:.2f}",
            f"{part.smaller:.2f}",
        )
        for part in result.parts
    ]
    table("size", ("network", "weights", "float32 MB", "MB now", "times smaller"), sizes)
    if result.spoken:
        speeds = [
            (
                way.way,
                f"{way.real_time_factor:.3f}",
                _number(way.log_mel_distance, 4),
                _number(way.token_agreement, 4),
            )
            for way in result.spoken
        ]
        columns = ("engine", "of real time", "log-mel distance, nepers", "token agreement, share")
        table("speed and output", columns, speeds)
    if result.note:
        say(result.note)
    say(result.entry, "entry: ")


def _number(value: float | None, decimals: int | None = None) -> str:
    """A figure with four significant digits, or with so many decimals; "" where there is none."""
    if value is None:
        return ""
    return f"{value:.4g}" if decimals is None else f"{value:.{decimals}f}"
