"""The flow `compress`: an entry of a voice becomes ONNX graphs of lower precision, as an entry of its own."""

import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display.result import FlowResult
from voicemill.flows.entries import add_entry
from voicemill.flows.plans.compress import STEM, CompressionPlan, CompressOptions, plan_compression
from voicemill.flows.report import markdown
from voicemill.model.export.exporting import export_voice
from voicemill.model.export.folder import GraphFolder
from voicemill.model.judging.compression import Part, Spoken, parts, spoken
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.testset import TestSetSettings
from voicemill.model.voices.opening import AnyVoice, open_voice
from voicemill.storage.errors import ConfigError, NoData, StoreError
from voicemill.storage.units import Seconds
from voicemill.storage.voices.cards import Entry

__all__ = ["CompressOptions", "Compressed", "compress"]


@dataclass
class Compressed(FlowResult):
    """Result of `compress`; `voicemill compress --json` prints it."""

    voice: str
    parent: str
    """The compressed entry, "anna/0003"."""
    precision: str
    entry: str = ""
    """Folder of the new entry."""
    number: int = 0
    parts: list[Part] = field(default_factory=list)
    """Bytes of each network before and after; the last row is the total."""
    spoken: list[Spoken] = field(default_factory=list)
    """Speed and output of each engine: torch in float32, torch as the entry speaks by default, the graphs."""
    note: str = ""
    """Why the engines were not compared; "" = they were."""
    run: str = ""
    wall_s: Seconds = 0.0


@flow(name="compress", persist_result=False)
def compress(options: CompressOptions) -> Compressed:
    """Export an entry, compare the speech of its graphs with its own, and add them as the next entry."""
    began = time.perf_counter()
    plan = plan_compression(options)
    announce(plan)
    result = Compressed(plan.voice, plan.entry.name, plan.precision)
    with tempfile.TemporaryDirectory(prefix="voicemill-") as work:
        folder = export(plan, Path(work))
        result.parts = parts(folder)
        result.spoken, result.note = compare(plan, folder)
        tables = (size_table(result.parts), speech_table(result.spoken), result.note)
        account = "\n\n".join(text for text in tables if text)
        entry = add_entry(plan.store, plan.card(account), {STEM: folder.path})
    result.entry, result.number = str(entry.folder), entry.number
    show(plan, result, entry)
    events.voice_trained(plan.store, entry)
    dashboard.complete(result, began)
    return result


def announce(plan: CompressionPlan) -> None:
    """Name and tag the run, and log what it compresses."""
    tags = [f"voice:{plan.voice}", f"version:{plan.corpus.version.number}", f"entry:{plan.entry.name}"]
    dashboard.name_run(f"compress · {plan.voice} · {plan.precision} · entry {plan.entry.number}", tags)
    dashboard.log(f"exporting entry {plan.entry.name} ({plan.entry.card.kind}) as ONNX graphs in {plan.precision}")


@task(name="export", task_run_name="export · {plan.precision}", cache_policy=NO_CACHE, persist_result=False)
def export(plan: CompressionPlan, work: Path) -> GraphFolder:
    """Export the graphs of the entry to a folder within `work`."""
    return export_voice(plan.entry.weights, work / STEM, plan.precision, plan.entry.card.content)


@task(name="compare", task_run_name="compare · {plan.precision}", cache_policy=NO_CACHE, persist_result=False)
def compare(plan: CompressionPlan, folder: GraphFolder) -> tuple[list[Spoken], str]:
    """Synthesise held-out sentences with the entry and with its graphs. Returns a row for each engine, or no rows and
    the reason."""
    weights, content = plan.entry.weights, plan.entry.card.content
    engines: dict[str, Callable[[], AnyVoice]] = {
        "torch, float32": lambda: open_voice(weights, content=content, precision="float32", device="cpu"),
        "torch, auto": lambda: open_voice(weights, content=content, device="cpu"),
        f"onnx, {plan.precision}": lambda: open_voice({STEM: folder.path}),
    }
    settings = TestSetSettings(sentences=plan.options.sentences)
    try:
        sentences = testset.make(plan.corpus, plan.entry.card.speakers, settings)
        return spoken({name: load() for name, load in engines.items()}, sentences), ""
    except (NoData, ConfigError, StoreError) as error:  # compression does not depend on the comparison
        dashboard.log(f"the engines are not compared: {error}")
        return [], f"The engines were not compared: {markdown.text(error)}"


def size_table(rows: Sequence[Part]) -> str:
    """Markdown table of the bytes of each network."""
    return markdown.table(
        ("network", "weights", "float32 MB", "MB now", "times smaller"),
        (
            (
                row.network,
                f"{row.parameters:,}",
                f"{row.before / 1e6:.2f}",
                f"{row.after / 1e6:.2f}",
                f"{row.smaller:.2f}",
            )
            for row in rows
        ),
        "lrrrr",
    )


def speech_table(rows: Sequence[Spoken]) -> str:
    """Markdown table of the engines' speed, and of how far their speech is from that of the first."""
    return markdown.table(
        ("engine", "real-time factor", "log-mel distance, nepers", "token agreement"),
        (
            (row.way, f"{row.real_time_factor:.3f}", _figure(row.log_mel_distance), _figure(row.token_agreement))
            for row in rows
        ),
        "lrrr",
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def show(plan: CompressionPlan, result: Compressed, entry: Entry) -> None:
    """Add the summary to the run's page."""
    voice = shlex.join(["--store", str(plan.store.root), "--voice", plan.voice])
    name, path = markdown.text(plan.entry.name), markdown.code(entry.path(STEM))
    speak = f"voicemill speak {voice} --number {entry.number} --reference RECORDING --text TEXT --out speech.wav"
    text = f"""# {markdown.text(plan.voice)}, entry {entry.number}: compressed

ONNX graphs of entry {name} ({plan.entry.card.kind}) in {plan.precision}, in {path}.

{entry.card.account}

Synthesise with it:

{markdown.block(speak)}

Measure its quality: {markdown.code(f"voicemill evaluate {voice}")}.
"""
    total = result.parts[-1]
    size = f"entry {entry.number} of {plan.voice}: {total.after / 1e6:.2f} MB, {total.smaller:.2f} times smaller"
    dashboard.show_markdown("compress-summary", text, size)
    dashboard.log(f"{size}: {entry.folder}")
