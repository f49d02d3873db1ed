"""Reading: the values of the corpus, to the bit, out of few row groups."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.data.index import Index, index
from voicemill.model.data.minibatch import Totals
from voicemill.model.data.reader import READ, Raw, Reader, decode_example, seed_of
from voicemill.model.data.stream import batch_of
from voicemill.model.settings.training import DataSettings
from voicemill.storage.corpus.flac import flac
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreError


@pytest.fixture(scope="module")
def found(corpus: CorpusVersion) -> Index:
    return index(corpus, DataSettings())


def test_values_are_those_of_the_corpus(corpus: CorpusVersion, found: Index) -> None:
    reader = Reader(found.shards, READ)
    rows = corpus.utterances(["id", "speaker", "audio", "start", "stop"]).to_pylist()
    features = [corpus.features(name).to_pylist() for name in ("content", "f0", "mel")]
    for number, (row, content, pitch, mel) in enumerate(zip(rows, *features, strict=True)):
        made = decode_example(reader.raw(int(found.shard[number]), int(found.row[number])))
        frames = (row["stop"] - row["start"]) // 640
        assert (made.id, made.speaker, made.frames) == (row["id"], row["speaker"], frames)
        wave, rate = soundfile.read(BytesIO(row["audio"]), dtype="float32")
        assert rate == 32_000
        np.testing.assert_array_equal(made.wave, wave[: frames * 640])
        np.testing.assert_array_equal(
            made.content, decode(content["data"], content["frames"], content["dims"])[:frames]
        )
        f0 = decode(pitch["data"], pitch["frames"], 1)[:, 0]
        np.testing.assert_array_equal(made.f0, f0[::2][:frames])
        np.testing.assert_array_equal(made.mel, decode(mel["data"], mel["frames"], 128)[:frames])
        assert (made.f0.dtype, made.wave.dtype, made.phones.dtype) == (np.float32, np.float32, np.int64)  # type: ignore[union-attr]


def test_bounds_of_phones_are_those_of_the_shard(found: Index, tmp_path: Path) -> None:
    """All frames where it has none."""
    made = decode_example(Reader(found.shards, {"bounds"}).raw(0, 0))
    rows = pq.read_table(found.shards[0].phones, partitioning=None)
    assert made.bounds is not None
    assert (made.bounds.dtype, made.bounds.shape) == (np.int32, (len(made.phones), 2))
    assert made.bounds.ravel().tolist() == rows["bounds"][0].as_py()
    nothing = pa.array([[] for _ in range(len(rows))], pa.list_(pa.int32()))
    pq.write_table(rows.set_column(rows.schema.get_field_index("bounds"), "bounds", nothing), tmp_path / "x.parquet")
    unplaced = Reader([replace(found.shards[0], phones=str(tmp_path / "x.parquet"))], {"bounds"})
    assert decode_example(unplaced.raw(0, 0)).bounds.tolist() == [[0, made.frames]] * len(made.phones)  # type: ignore[union-attr]


def test_only_what_is_needed_is_read(found: Index) -> None:
    made = decode_example(Reader(found.shards, ()).raw(0, 0))
    assert (made.wave, made.f0, made.bounds, made.mel) == (None, None, None, None)
    reader = Reader(found.shards, {"f0"})
    assert reader.raw(0, 0).audio is None
    assert all(
        "audio" not in table.column_names
        for files in reader._open.values()
        for file in files
        for table in file.groups.values()
    )


def test_row_groups_are_let_go(found: Index) -> None:
    reader = Reader(found.shards, READ)
    for shard in range(4):
        reader.raw(shard, 0)
        reader.raw(shard, 3)
    assert reader.groups == 4 * 5
    reader.keep([1, 2, 77])
    assert reader.groups == 2 * 5
    reader.keep([])
    assert reader.groups == 0
    assert reader.raw(0, 0).id == found.ids[0].decode()


def raw(frames: int, content: int, f0: int, samples: int) -> Raw:
    values = np.arange(content * 3, dtype=np.float16).reshape(content, 3)
    wave = np.linspace(-0.5, 0.5, samples, dtype=np.float32)
    return Raw(
        id="x-0001",
        speaker="x",
        frames=frames,
        phones=np.array([1, 2]),
        content=values,
        f0=np.arange(f0, dtype=np.float16),
        audio=flac(wave),
    )


@given(st.integers(2, 60), st.integers(-1, 1), st.integers(-2, 2), st.integers(0, 639))
def test_everything_has_the_same_frames(frames: int, content: int, f0: int, samples: int) -> None:
    made = decode_example(raw(frames, frames + content, 2 * frames + f0, frames * 640 + samples))
    assert made.frames == frames
    assert len(made.f0) == frames  # type: ignore[arg-type]
    assert len(made.wave) == frames * 640  # type: ignore[arg-type]
    assert (made.content[: frames - 1, 0] == 3 * np.arange(frames - 1)).all()
    last = frames - 2 if content < 0 else frames - 1  # a frame short: the last one again, as GPT-SoVITS does
    assert made.content[-1].tolist() == [3 * last, 3 * last + 1, 3 * last + 2]


def test_what_is_damaged_is_named() -> None:
    with pytest.raises(StoreError, match=r"audio of utterance x-0001 has \(5000,\) samples at 32000 Hz: expected 6400"):
        decode_example(raw(10, 10, 20, 5000))
    for name in ("content", "f0"):
        bad = raw(10, 10, 20, 6400)
        values = getattr(bad, name).copy()
        values.flat[4] = np.inf
        with pytest.raises(StoreError, match="features of utterance x-0001 are not finite"):
            decode_example(replace(bad, **{name: values}))


def test_a_missing_file_is_named(found: Index, tmp_path: Path) -> None:
    reader = Reader([replace(found.shards[0], content=str(tmp_path / "gone.parquet"))], READ)
    with pytest.raises(StoreError, match=r"gone\.parquet is missing: it was deleted .* `voicemill refresh`"):
        reader.raw(0, 0)


def test_files_of_different_utterances_are_refused(found: Index) -> None:
    reader = Reader([replace(found.shards[0], content=found.shards[1].content)], READ)
    with pytest.raises(StoreError, match=r"row 2 of .* and its features are of \['.*', '.*'\]"):
        reader.raw(0, 2)


def test_seeds_are_of_the_example_and_the_epoch() -> None:
    seeds = {seed_of(*given) for given in ((1, 0, "a"), (1, 0, "b"), (1, 1, "a"), (2, 0, "a"), (-1, 0, "a"))}
    assert len(seeds) == 5
    assert seed_of(1, 0, "a") == seed_of(1, 0, "a")
    assert all(0 <= seed < 2**63 for seed in seeds)


@given(st.lists(st.integers(2, 50), min_size=1, max_size=5))
def test_batches_are_padded_with_zeros(lengths: list[int]) -> None:
    examples = [decode_example(raw(n, n, 2 * n, n * 640)) for n in lengths]
    batch = batch_of(examples, list(range(len(lengths))), Totals(1, len(lengths), sum(lengths), 0))
    frames = batch.content.shape[2]
    assert (frames % 2, 0 < frames - max(lengths) <= 2) == (0, True)
    assert batch.wave is not None
    assert batch.f0 is not None
    assert batch.wave.shape == (len(lengths), frames * 640)
    for row, made in enumerate(examples):
        n = made.frames
        assert torch.equal(batch.content[row, :, :n].T, torch.from_numpy(made.content.copy()).float())
        assert torch.equal(batch.wave[row, : n * 640], torch.from_numpy(made.wave))
        assert torch.equal(batch.f0[row, :n], torch.from_numpy(made.f0))
        assert not batch.content[row, :, n:].any()
        assert not batch.wave[row, n * 640 :].any()
        assert not batch.f0[row, n:].any()
    assert batch.lengths.tolist() == lengths
    assert batch.phones.tolist() == [[1, 2]] * len(lengths)
    dtypes = (
        batch.phones.dtype,
        batch.phone_lengths.dtype,
        batch.lengths.dtype,
        batch.seeds.dtype,
        batch.content.dtype,
    )
    assert dtypes == (*(torch.int64,) * 4, torch.float32)
