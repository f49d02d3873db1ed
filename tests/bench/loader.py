"""Reading a corpus for training, against loose files: `python tests/bench/loader.py [utterances] [processes]`.

The same examples three ways, with the same number of processes and the same padding into batches, from a warm page
cache, passes in turn; medians. Loose files are those that GPT-SoVITS reads for each utterance: `4-cnhubert/<id>.pt`
(float32 [1, 768, frames], torch.load) and `5-wav32k/<id>.wav` (16 bit); its order is random. MB count the tensors that
reach the network (float32 wave and content), so all ways count the same work. Prints a table and writes
bench/loader.json.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import soundfile
import torch
from support import factories as f
from torch.utils.data import DataLoader, Dataset

from voicemill.model.data.loader import Loader
from voicemill.model.data.minibatch import Minibatch, Totals
from voicemill.model.data.reader import READ, Example, Reader
from voicemill.model.data.stream import batch_of
from voicemill.model.settings.training import DataSettings, Phase
from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.flac import flac
from voicemill.storage.corpus.rows import to_table
from voicemill.storage.corpus.table_rows import FeatureRow, Utterance
from voicemill.storage.corpus.tables import File, ShardWriter
from voicemill.storage.corpus.tensors import encode
from voicemill.storage.corpus.versions import CorpusVersion, Counts, Version
from voicemill.storage.store import Store
from voicemill.storage.units import RATE

ROOT = Path(__file__).resolve().parents[2]
BATCH, DIMS, SHARD = 8, 768, 100
TEXT = "so this is what he had to say about it"


def speech(number: int) -> np.ndarray:
    """float32 [samples], 3 to 8 s: noise through a few resonances, in bursts; FLAC compresses it about as speech."""
    from scipy.signal import lfilter

    random = np.random.default_rng(number)
    samples = int(random.uniform(3, 8) * RATE)
    loud = np.repeat(random.uniform(0, 1, samples // 3200 + 1) ** 3, 3200)[:samples]
    wave = lfilter([1], [1, -1.89, 0.94], random.standard_normal(samples) * loud)
    return (wave / np.abs(wave).max() * 0.7).astype(np.float32)


def content(number: int, frames: int) -> np.ndarray:
    """float32 [frames, DIMS]: smooth in time, as content features are."""
    random = np.random.default_rng(number)
    steps = random.standard_normal((frames // 5 + 2, DIMS)).astype(np.float32) * 0.3
    return np.repeat(steps, 5, 0)[:frames] + random.standard_normal((frames, DIMS)).astype(np.float32) * 0.05


def make(root: Path, loose: Path, utterances: int) -> CorpusVersion:
    """Write a corpus version with `SHARD` utterances per shard, and the same utterances as loose files."""
    store = Store.open(root, create=True)
    names = f.FEATURE_TABLES
    files: dict[str, list[File]] = {name: [] for name in ("utterances", "ledger", "uploads", *names.values())}
    for folder in ("4-cnhubert", "5-wav32k"):
        (loose / folder).mkdir(parents=True)
    for shard in range(-(-utterances // SHARD)):
        speaker = f"speaker {shard % 7}"
        key = f"{shard:064x}"
        wanted = ("utterances", names["content"], names["f0"])
        writers = {table: ShardWriter(store, table, speaker, key) for table in wanted}
        for number in range(shard * SHARD, min((shard + 1) * SHARD, utterances)):
            wave = speech(number)
            frames = len(wave) // 640
            matrix = content(number, frames - 1)
            name = f"{shard:016x}-{number % SHARD:04}"
            packed, pitch = encode(matrix), encode(np.full((2 * frames, 1), 120.0))
            writers["utterances"].write(to_table([utterance(name, speaker, shard, number, wave)], Utterance))
            writers[names["content"]].write(to_table([FeatureRow(name, frames - 1, DIMS, packed)], FeatureRow))
            writers[names["f0"]].write(to_table([FeatureRow(name, 2 * frames, 1, pitch)], FeatureRow))
            torch.save(torch.from_numpy(matrix.T.copy())[None], loose / "4-cnhubert" / f"{name}.pt")
            soundfile.write(loose / "5-wav32k" / f"{name}.wav", wave, RATE, subtype="PCM_16")
        for table, writer in writers.items():
            with writer:
                files[table].append(writer.finish())
    pins = {table: tables.commit(store, table, found) for table, found in files.items()}
    counts = Counts(
        uploads={}, seconds={}, reasons={}, causes=(), accounted=0, speakers=7, utterances=utterances, hours=0.0
    )
    versions.append(
        store,
        Version(
            number=1,
            created=f.WHEN,
            recipe=f.RECIPE,
            config={},
            pins=pins,
            shards={},
            features=names,
            counts=counts,
            parent=0,
        ),
    )
    return CorpusVersion.open(store)


def utterance(name: str, speaker: str, shard: int, number: int, wave: np.ndarray) -> Utterance:
    at = (number % SHARD) * 10 * RATE
    return Utterance(
        id=name,
        upload=f"{shard:064x}",
        speaker=speaker,
        path="x.wav",
        index=number % SHARD,
        start=at,
        stop=at + len(wave),
        seconds=len(wave) / RATE,
        language="en",
        text=TEXT,
        words=(),
        alignment="aligned",
        engine="given",
        audio=flac(wave),
        snr_db=30.0,
        denoised=True,
        loudness_before=-30.0,
        loudness_after=-23.0,
        gain_db=7.0,
        peak_db=-3.0,
        bound="",
        entropy=3.5,
        clipped=0.0,
        bandwidth_hz=12e3,
        f0_median=120.0,
        voiced=1.0,
        recipe=f.RECIPE,
    )


class Loose(Dataset):  # type: ignore[misc]
    """Utterances as GPT-SoVITS reads them."""

    def __init__(self, folder: Path, names: Sequence[str], phones: np.ndarray) -> None:
        self.folder, self.names, self.phones = folder, names, phones

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Example:
        name = self.names[number]
        matrix = torch.load(self.folder / "4-cnhubert" / f"{name}.pt", map_location="cpu", weights_only=True)
        wave, _ = soundfile.read(self.folder / "5-wav32k" / f"{name}.wav", dtype="float32")
        frames = len(wave) // 640
        if matrix.shape[-1] != frames:
            matrix = torch.nn.functional.pad(matrix, (0, 1), mode="replicate")
        return Example(
            id=name, speaker="", phones=self.phones, content=matrix[0].T.numpy(), f0=None, wave=wave[: frames * 640]
        )


def collate(examples: Sequence[Example]) -> Minibatch:
    return batch_of(examples, [0] * len(examples), Totals(1, len(examples), 0, 0))


def loose_batches(dataset: Loose, processes: int) -> Iterator[Minibatch]:
    context = "spawn" if processes else None
    order = torch.utils.data.RandomSampler(dataset)
    yield from DataLoader(
        dataset, BATCH, sampler=order, num_workers=processes, collate_fn=collate, multiprocessing_context=context
    )


@dataclass(frozen=True)
class Pass:
    """Figures of one pass over all examples, from its second batch on: starting processes is not reading."""

    examples: int
    megabytes: float
    seconds: float
    processor: float
    """CPU seconds of this process, all there are where no other process reads; a busy machine does not change them."""


def timed(batches: Iterator[Minibatch]) -> Pass:
    next(batches)
    began, worked, examples, size = time.perf_counter(), time.process_time(), 0, 0
    for batch in batches:
        examples += len(batch)
        frames = int(batch.lengths.sum())
        size += frames * (640 + batch.content.shape[1]) * 4
    return Pass(examples, size / 1e6, time.perf_counter() - began, time.process_time() - worked)


def flat(loader: Loader, count: int) -> Iterator[Minibatch]:
    stream = loader.training()
    for (batch,) in islice(stream, count):
        yield batch
    stream.close()  # type: ignore[attr-defined]


def main() -> None:
    utterances = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, loose = Path(folder) / "store", Path(folder) / "loose"
        corpus = make(root, loose, utterances)
        sizes = {
            name: sum(p.stat().st_size for p in where.rglob("*") if p.is_file())
            for name, where in (("shards", root), ("loose", loose))
        }
        phase = Phase(steps=1, rate=1)
        began = time.perf_counter()
        loader = Loader.open(corpus, settings(0), phase, needs=frozenset({"wave"}))
        first = time.perf_counter() - began
        began = time.perf_counter()
        Loader.open(corpus, settings(0), phase)
        again = time.perf_counter() - began
        names = [name.decode() for name in loader.index.ids]
        phones = Reader(loader.spec.shards, READ).raw(0, 0).phones
        dataset = Loose(loose, names, phones)
        steps = -(-utterances // BATCH)
        ways: dict[str, Callable[[], Iterator[Minibatch]]] = {}
        for count in dict.fromkeys((0, processes)):
            made = Loader.open(corpus, settings(count), phase, needs=frozenset({"wave"}))
            ways[f"shards, {count} processes"] = lambda made=made: flat(made, steps)  # type: ignore[misc]
            ways[f"loose, {count} processes"] = lambda count=count: loose_batches(dataset, count)  # type: ignore[misc]
        found: dict[str, list[Pass]] = {name: [] for name in ways}
        for number in range(4):
            for name, way in ways.items():
                result = timed(way())
                if number:  # the first one warms the page cache
                    found[name].append(result)
    print(
        f"{utterances} utterances; on disk: shards {sizes['shards'] / 1e6:.0f} MB, loose {sizes['loose'] / 1e6:.0f} MB"
    )
    print(f"index: {first:.2f} s with the phones, {again:.2f} s without")
    print(f"{'':24}{'examples/s':>12}{'MB/s':>10}{'processor ms/example':>24}")
    table = {}
    for name, passes in found.items():
        rate = median(p.examples / p.seconds for p in passes)
        speed = median(p.megabytes / p.seconds for p in passes)
        cost = median(p.processor / p.examples * 1000 for p in passes)
        table[name] = {"examples/s": rate, "MB/s": speed, "processor ms/example": cost}
        print(f"{name:24}{rate:12.0f}{speed:10.0f}{cost:24.2f}")
    out = ROOT / "bench"
    out.mkdir(exist_ok=True)
    figures = {"utterances": utterances, "bytes": sizes, "index_s": [first, again], "reading": table}
    (out / "loader.json").write_text(json.dumps(figures, indent=1))


def settings(loaders: int) -> DataSettings:
    return DataSettings(batch=BATCH, loaders=loaders, validation_share=0)


if __name__ == "__main__":
    main()
