"""`voicemill compress`: the flow `compress`, here and now."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, StoreOption, VoiceOption
from voicemill.flows.cli.running import run_here

if TYPE_CHECKING:
    from voicemill.flows.compress import Compressed
    from voicemill.flows.plans.compress import CompressOptions


def compress(
    store: StoreOption,
    voice: VoiceOption = "",
    kind: Annotated[
        Literal["", "trained", "student", "light"],
        typer.Option(help="Lane; the student, else the trained voice, if left out."),
    ] = "",
    number: Annotated[int, typer.Option(min=0, help="The entry; 0 = champion of the lane, else newest.")] = 0,
    precision: Annotated[
        Literal["int8", "float16", "float32"], typer.Option(help="Of the weights; float32 exports only.")
    ] = "int8",
    sentences: Annotated[int, typer.Option(min=1, max=100, help="Said to compare before and after.")] = 3,
    allow_retired: Annotated[bool, typer.Option("--allow-retired", help="Compress a retired entry too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make ONNX graphs of a voice, in 8 or 16 bits, as an entry of its own; print what that does to it."""
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
    plan = plan_compression(options)  # what is missing or wrong is said before anything starts
    run_here(plan.store, _flow, options, _show, as_json=as_json)


def _flow() -> "Callable[[CompressOptions], Compressed]":
    from voicemill.flows.compress import compress

    return compress


def _show(result: "Compressed") -> None:
    from voicemill.flows.display.terminal import say, table

    total = result.parts[-1]
    title = f"{result.voice} entry {result.number} (compressed)"
    say(f": {total.after / 1e6:.2f} MB, {total.smaller:.2f} times smaller than {result.parent}", title, "bold green")
    rows = [
        (
            part.network,
            f"{part.parameters:,}",
            f"{part.before / 1e6:.2f}",
            f"{part.after / 1e6:.2f}",
            f"{part.smaller:.2f}",
        )
        for part in result.parts
    ]
    table("size", ("network", "weights", "float32 MB", "MB now", "times smaller"), rows)
    if result.spoken:
        said = [
            (way.way, f"{way.real_time_factor:.3f}", _number(way.log_mel_distance), _number(way.token_agreement))
            for way in result.spoken
        ]
        table(
            "speed and output",
            ("way to speak", "of real time", "log-mel distance, nepers", "token agreement, share"),
            said,
        )
    if result.note:
        say(result.note)
    say(result.entry, "entry: ")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
