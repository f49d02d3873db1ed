"""The loader: the same batches whoever reads them, wherever they start."""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import store_contents

from voicemill.model.data.loader import Loader
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.data.reader import Reader
from voicemill.model.data.stream import Share, steps
from voicemill.model.settings.training import DataSettings, Phase
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NoData

ALL = Phase(steps=1, rate=1)
MIXED = Phase(steps=1, rate=1, mix={"target": 0.5, "others": 0.5})
ROOT = Path(__file__).resolve().parents[3]


def loader(corpus: CorpusVersion, phase: Phase = ALL, **settings: Any) -> Loader:
    data = DataSettings(**{"batch": 4, "loaders": 0, "window": 2, "lanes": 3, "shortest_s": 0.5} | settings)
    return Loader.open(corpus, data, phase, ("ann",) if "target" in phase.mix else ())


def raw(batch: Minibatch) -> tuple[Any, ...]:
    """Every byte of a batch."""
    values = (getattr(batch, name) for name in batch.__dataclass_fields__)
    return tuple(v.numpy().tobytes() if isinstance(v, torch.Tensor) else v for v in values)


def epochs(made: Loader, count: int) -> int:
    """Steps of so many epochs."""
    return next(turn.step for turn in made.spec.plan().steps() if turn.epoch == count)


def ids(batches: Iterable[list[Minibatch]]) -> list[str]:
    return [name for step in batches for batch in step for name in batch.ids]


def test_two_epochs_interrupted_five_times(corpus: CorpusVersion) -> None:
    made = loader(corpus)
    total = epochs(made, 2)
    undisturbed = [[raw(batch) for batch in step] for step in islice(made.training(), total)]
    stops = sorted(random.Random(7).sample(range(1, total), 5))
    seen, found = [], []
    for start, stop in zip([0, *stops], [*stops, total], strict=True):
        again = loader(corpus)  # everything anew, as a process that was started again
        stream = again.training(start)
        part = list(islice(stream, stop - start))
        seen += part
        found += [[raw(batch) for batch in step] for step in part]
    assert found == undisturbed
    every = {name.decode() for name in made.index.ids}
    trained = {made.index.ids[row].decode() for row in made.divided.training["all"]}
    assert Counter(ids(seen)) == dict.fromkeys(trained, 2)
    heard = {name for batch in made.validation() for name in batch.ids}
    assert trained | heard == every
    assert not trained & heard


@pytest.mark.slow
@pytest.mark.parametrize("loaders", [1, 2, 3])
def test_any_number_of_loaders_gives_the_same(corpus: CorpusVersion, loaders: int) -> None:
    alone = loader(corpus, MIXED)
    steps_ = epochs(alone, 1) + 3
    expected = [[raw(batch) for batch in step] for step in islice(alone.training(2, 1, 2, 2), steps_)]
    stream = loader(corpus, MIXED, loaders=loaders).training(2, 1, 2, 2)
    assert [[raw(batch) for batch in step] for step in islice(stream, steps_)] == expected
    stream.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (2, 1), (2, 2), (3, 2)])
def test_devices_and_rounds_divide_the_same_batches(corpus: CorpusVersion, world: int, accumulate: int) -> None:
    whole = islice(loader(corpus).training(3), 8)
    ranks = [loader(corpus).training(3, rank, world, accumulate) for rank in range(world)]
    for (together,), *shares in zip(whole, *ranks, strict=False):
        parts = [batch for share in shares for batch in share]
        assert [len(share) for share in shares] == [accumulate] * world
        examples = [name for batch in parts for name in batch.ids]
        assert set(examples) == set(together.ids)
        if len(together) >= world * accumulate:
            assert len(examples) == len(together)
        totals = {batch.totals for batch in parts}
        assert len(totals) == 1
        (said,) = totals
        assert said.parts == world * accumulate
        assert said.examples == sum(map(len, parts)) == len(examples)
        assert said.frames == sum(int(batch.lengths.sum()) for batch in parts)
        assert said.codes == sum(int((batch.lengths // 2).sum()) for batch in parts)
        seeds = dict(zip(together.ids, together.seeds.tolist(), strict=True))
        for batch in parts:
            assert [seeds[name] for name in batch.ids] == batch.seeds.tolist()


def test_seeds_change_with_the_epoch_and_the_seed(corpus: CorpusVersion) -> None:
    made = loader(corpus)
    pairs = [
        pair
        for step in islice(made.training(), epochs(made, 2))
        for b in step
        for pair in zip(b.ids, b.seeds.tolist(), strict=True)
    ]
    assert len(set(pairs)) == len(pairs) == 2 * len(made.divided.training["all"])
    other = Loader.open(corpus, made.settings, ALL, seed=99)
    assert ids(islice(other.training(), 10)) != ids(islice(made.training(), 10))


def test_the_mix_is_met(corpus: CorpusVersion) -> None:
    speakers = [
        who for step in islice(loader(corpus, MIXED).training(), 40) for batch in step for who in batch.speakers
    ]
    assert abs(speakers.count("ann") / len(speakers) - 0.5) < 0.05
    only = loader(corpus, Phase(steps=1, rate=1, mix={"target": 1.0}))
    assert {who for step in islice(only.training(), 10) for batch in step for who in batch.speakers} == {"ann"}


def test_memory_is_bounded_by_the_windows(corpus: CorpusVersion) -> None:
    made = loader(corpus, batch=1)
    reader = Reader(made.spec.shards, made.spec.needs)
    plan = made.spec.plan()
    held = []
    for _ in islice(steps(made.spec, Share(), 0, reader=reader), epochs(made, 2)):
        held.append(reader.groups)
    assert len(made.index.shards) * 5 == 60
    assert plan.lanes == 3
    assert max(held) <= 3 * 3 * 5  # lanes x shards of a window (the last one may join it) x files
    assert max(held) > 5


def test_log_mels_are_those_of_the_corpus_or_else_come_from_the_waves(corpus: CorpusVersion) -> None:
    made = loader(corpus).with_needs(frozenset({"mel"}))
    batch = next(made.training())[0]
    assert batch.wave is None
    assert batch.mel is not None
    assert batch.mel.shape == (len(batch), 128, batch.content.shape[-1])
    stored = {row["id"]: row for row in corpus.features("mel").to_pylist()}
    for name, length, mel in zip(batch.ids, batch.lengths.tolist(), batch.mel, strict=True):
        values = decode(stored[name]["data"], stored[name]["frames"], 128)[:length]
        np.testing.assert_array_equal(mel[:, :length].numpy(), values.T.astype(np.float32))
        assert (mel[:, length:] == math.log(1e-5)).all()
    shards = tuple(replace(shard, mel="") for shard in made.index.shards)
    older = replace(made, index=replace(made.index, shards=shards), spec=replace(made.spec, shards=shards))
    batch = next(older.with_needs(frozenset({"mel"})).training())[0]
    assert batch.mel is None
    assert batch.wave is not None


def test_the_validation_set(corpus: CorpusVersion) -> None:
    made = loader(corpus, validation_share=0.2)
    batches = list(made.validation())
    assert ids([batches]) == [
        made.index.ids[row].decode() for row in sorted(made.divided.validation, key=lambda r: (made.index.frames[r], r))
    ]
    again = list(made.validation())
    assert [raw(batch) for batch in again] == [raw(batch) for batch in batches]
    shared = [[raw(batch) for batch in made.validation(rank, 2)] for rank in range(2)]
    assert sorted(map(repr, shared[0] + shared[1])) == sorted(repr(raw(batch)) for batch in batches)
    for batch in batches:
        assert (batch.totals.parts, batch.totals.examples, batch.totals.frames) == (
            1,
            len(batch),
            int(batch.lengths.sum()),
        )
    said = made.describe()
    assert said.validation == len(ids([batches]))
    assert len(said.held_out) >= 1
    speakers = loader(corpus, Phase(steps=1, rate=1, hold_back="speakers"))
    assert len({who for batch in speakers.validation() for who in batch.speakers}) == len(speakers.describe().held_out)
    assert not {who for step in islice(speakers.training(), 20) for b in step for who in b.speakers} & set(
        speakers.describe().held_out
    )


def test_what_is_said_of_it(corpus: CorpusVersion) -> None:
    made = loader(corpus, MIXED, shortest_s=1.5)
    said = made.describe()
    assert said.examples == {name: len(rows) for name, rows in made.divided.training.items()}
    assert said.languages == {"en": len(made.index)}
    assert sum(said.examples.values()) + made.divided.aside == len(made.index)
    text = str(said)
    assert text.startswith(f"corpus version 1: {said.examples['target']} utterances of source target, ")
    assert f"left out: {said.left_out[next(iter(said.left_out))]} too_short (shorter than data.shortest_s)" in text
    trained = len(np.unique(np.concatenate(list(made.divided.training.values()))))
    assert made.describe_alignment() == f"the forced alignment has word times for {trained} of {trained} utterances"
    none = replace(made, index=replace(made.index, placed=np.zeros(len(made.index), dtype=bool)))
    assert none.describe_alignment().endswith(f"word times for 0 of {trained} utterances, none for the other {trained}")


def test_needs(corpus: CorpusVersion) -> None:
    made = loader(corpus)
    assert made.dims == 39
    (first,) = next(made.training())
    assert first.wave is not None
    lean = made.with_needs(frozenset({"bert"}))
    (same,) = next(lean.training())
    assert (same.wave, same.f0, same.bounds, same.bert) == (None, None, None, None)
    assert torch.equal(same.content, first.content)
    assert first.bounds is not None
    assert first.bounds.shape == (*first.phones.shape, 2)
    for row, (count, frames) in enumerate(zip(first.phone_lengths.tolist(), first.lengths.tolist(), strict=True)):
        assert (int(first.bounds[row, 0, 0]), int(first.bounds[row, count - 1, 1])) == (0, frames)
        assert not first.bounds[row, count:].any()
    assert next(lean.validation()).wave is None
    assert next(made.validation()).wave is not None
    assert next(made.examples()).ids == first.ids
    with pytest.raises(ConfigError, match="speaker_embedding: no corpus has this field"):
        made.with_needs(frozenset({"speaker_embedding"}))


def test_a_mix_that_cannot_be_is_refused(corpus: CorpusVersion) -> None:
    with pytest.raises(ConfigError, match="has a target, and no speaker is named"):
        Loader.open(corpus, DataSettings(), MIXED)
    with pytest.raises(
        ConfigError, match=r"eve: no such speaker in corpus version 1 of .*`voicemill ledger --by speaker`"
    ):
        Loader.open(corpus, DataSettings(), MIXED, ("ann", "eve"))
    with pytest.raises(NoData, match="has no utterance for the source 'others' of the mix"):
        Loader.open(corpus, DataSettings(), MIXED, ("ann", "bob", "cid", "dot"))


HOLDER = """
import sys, time
from voicemill.storage.store import Store
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.model.data.loader import Loader
from voicemill.model.settings.training import DataSettings, Phase

if __name__ == "__main__":
    corpus = CorpusVersion.open(Store.open(sys.argv[1]))
    stream = Loader.open(corpus, DataSettings(batch=4, loaders=2), Phase(steps=1, rate=1)).training()
    for _ in range(4):
        next(stream)
    print("reading", flush=True)
    if sys.argv[2] == "close":
        stream.close()
        print("closed", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close", "kill"])
def test_no_process_is_left(corpus: CorpusVersion, tmp_path: Path, how: str) -> None:
    script = tmp_path / "holder.py"
    script.write_text(HOLDER)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VOICEMILL_TEST": str(corpus.store.root)}
    command = [sys.executable, str(script), str(corpus.store.root), how]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        if how == "close":
            assert process.stdout.readline() == "closed\n"
            left = gone(corpus.store.root, but=process.pid)
            process.kill()
        else:
            assert len(store_contents.processes(corpus.store.root, but=process.pid)) >= 2
            os.kill(process.pid, signal.SIGKILL)
            left = gone(corpus.store.root, but=process.pid)
    assert left == []


def gone(store: Path, but: int) -> list[str]:
    """Processes told of the store that are left after up to a minute; Python's own goes with its parent."""
    until = time.monotonic() + 60
    while left := [line for line in store_contents.processes(store, but=but) if "resource_tracker" not in line]:
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    return left
