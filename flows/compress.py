"""The flow `compress`: an entry of a voice becomes ONNX graphs in fewer bits, an entry of its own."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.plans.compress import STEM, CompressionPlan, CompressOptions, plan_compression
from voicemill.model.export.exporting import export_voice
from voicemill.model.export.folder import GraphFolder
from voicemill.model.judging.compression import Part, Spoken, parts, spoken, table
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.testset import TestSetSettings
from voicemill.model.voices.opening import Speaking, open_voice
from voicemill.storage.errors import ConfigError, NoData, StoreError
from voicemill.storage.forgetting import forget
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices.registry import Entry

__all__ = ["CompressOptions", "Compressed", "compress"]


@dataclass
class Compressed:
    """Result of `compress`; `voicemill compress --json` prints it."""

    voice: str
    parent: str
    """The entry that was compressed: "anna/0003"."""
    precision: str
    entry: str = ""
    """Folder of the new one."""
    number: int = 0
    parts: list[Part] = field(default_factory=list)
    """Bytes of each network before and after; the last is all of them."""
    spoken: list[Spoken] = field(default_factory=list)
    """Speed and output of the ways to speak: float32, as it spoke before, its graphs."""
    note: str = ""
    """Why nothing was said to compare, if so."""
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


@flow(name="compress", persist_result=False)
def compress(options: CompressOptions) -> Compressed:
    """Export an entry, compare what its graphs say with what it says, and write them as the next entry."""
    began = time.perf_counter()
    plan = plan_compression(options)
    announce(plan)
    result = Compressed(plan.voice, plan.entry.name, plan.precision, run=dashboard.run_address())
    with tempfile.TemporaryDirectory(prefix="voicemill-") as work:
        folder = export(plan, Path(work))
        result.parts = parts(folder)
        result.spoken, result.note = compare(plan, folder)
        account = "\n\n".join(part for part in (table(result.parts, result.spoken), result.note) if part)
        entry = voices.add(plan.store, plan.card(account), {STEM: folder.path})
    if forget.retire_learned(plan.store, entry.name, when=entry.card.created):
        dashboard.say(f"{entry.name} is retired: somebody whose speech it learned from was forgotten meanwhile")
    result.entry, result.number = str(entry.folder), entry.number
    show(plan, result, entry)
    events.voice_trained(plan.store, entry)
    result.wall_s = round(time.perf_counter() - began, 2)
    return result


def announce(plan: CompressionPlan) -> None:
    """Name the run by what it does, and say it in the log."""
    tags = [f"voice:{plan.voice}", f"version:{plan.corpus.version.number}", f"entry:{plan.entry.name}"]
    dashboard.name_run(f"compress · {plan.voice} · {plan.precision} · entry {plan.entry.number}", tags)
    dashboard.say(f"entry {plan.entry.name} ({plan.entry.card.kind}) becomes ONNX graphs in {plan.precision}")


@task(name="export", task_run_name="export · {plan.precision}", cache_policy=NO_CACHE, persist_result=False)
def export(plan: CompressionPlan, work: Path) -> GraphFolder:
    """The graphs of the entry, under `work`."""
    return export_voice(plan.entry.weights, work / STEM, plan.precision, plan.entry.card.content)


@task(name="compare", task_run_name="compare · {plan.precision}", cache_policy=NO_CACHE, persist_result=False)
def compare(plan: CompressionPlan, folder: GraphFolder) -> tuple[list[Spoken], str]:
    """What the entry and its graphs say of held-back sentences; or why nothing could be said."""
    ways: dict[str, Callable[[], Speaking]] = {
        "torch, float32": lambda: open_voice(
            plan.entry.weights, content=plan.entry.card.content, precision="float32", device="cpu"
        ),
        "torch, auto": lambda: open_voice(plan.entry.weights, content=plan.entry.card.content, device="cpu"),
        f"onnx, {plan.precision}": lambda: open_voice({STEM: folder.path}),
    }
    try:
        sentences = testset.make(
            plan.corpus, plan.entry.card.speakers, TestSetSettings(sentences=plan.options.sentences)
        )
        return spoken({way: opened() for way, opened in ways.items()}, sentences), ""
    except (NoData, ConfigError, StoreError) as error:  # nothing to say is no reason to compress nothing
        dashboard.say(f"nothing is compared: {error}")
        return [], f"Nothing was said to compare: {error}"


def show(plan: CompressionPlan, result: Compressed, entry: Entry) -> None:
    """The table on the run's page."""
    command = f"voicemill speak --store {plan.store.root} --voice {plan.voice} --number {entry.number}"
    text = f"""# {plan.voice}, entry {entry.number}: compressed

Entry {plan.entry.name} ({plan.entry.card.kind}) as ONNX graphs in {plan.precision}, in `{entry.path(STEM)}`.

{entry.card.account}

```
{command} --reference RECORDING --text TEXT --out speech.wav
```

What it is worth is measured by `voicemill evaluate --store {plan.store.root} --voice {plan.voice}`.
"""
    total = result.parts[-1]
    words = f"entry {entry.number} of {plan.voice}: {total.after / 1e6:.2f} MB, {total.smaller:.2f} times smaller"
    create_markdown_artifact(markdown=text, key="compress-summary", description=words)
    dashboard.say(f"{words}: {entry.folder}")
