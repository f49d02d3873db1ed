"""What a pinned corpus version holds for training, as columns: made from metadata, without audio or features.

Utterances that cannot be learned from are left out, each for one reason, which is counted. Cost: three small reads for
each shard, and the phones of those that were never seen before (`voicemill.model.data.phones`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from voicemill.model.data import phones
from voicemill.model.data.minibatch import CONTENT_RATE
from voicemill.model.settings.training import DataSettings
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.tables import File
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NoData, StoreError
from voicemill.storage.forgetting.forget import forgotten_versions
from voicemill.storage.units import RATE

HOP = RATE // CONTENT_RATE
MEASURES = ("seconds", "loudness_after", "gain_db", "entropy", "f0_median")
"""Columns of an utterance that are finite where its audio is."""


class LeftOut(StrEnum):
    """Why an utterance is not trained on. `meaning` and what `mends` it are for readers."""

    meaning: str
    mends: str

    def __new__(cls, value: str, meaning: str = "", mends: str = "") -> "LeftOut":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning, member.mends = meaning, mends
        return member

    NO_TEXT = (
        "no_text",
        "it has no transcript",
        "put a .txt beside the upload, or set transcribe.engine, and run `voicemill refresh`",
    )
    LANGUAGE = (
        "language",
        "the text front end does not speak its language",
        "it speaks zh, en and ko, with `pip install 'voicemill[ja,yue]'` ja and yue too; see the upload's language",
    )
    NO_PHONES = "no_phones", "there is nothing to say in its text", "correct the transcript"
    UNSAYABLE = "unsayable", "its text has characters that nobody can read out", "correct the transcript"
    TOO_SHORT = "too_short", "shorter than data.shortest_s", "lower data.shortest_s, or slice.min_segment_s"
    TOO_LONG = "too_long", "longer than data.longest_s", "raise data.longest_s, or lower slice.max_segment_s"
    FEW_PHONES = "few_phones", "fewer phones per second than data.fewest_phones", "correct the transcript"
    MANY_PHONES = "many_phones", "more phones per second than data.most_phones", "correct the transcript"
    NOT_FINITE = "not_finite", "a measure of its audio is not finite", "remove the upload: its samples are damaged"
    UNFIT = (
        "unfit",
        "its features are not as long as its audio",
        "delete the folder stages/ of the store and run `voicemill refresh`",
    )


@dataclass(frozen=True)
class Shard:
    """The files of one shard, in which rows of the same number are of the same utterance."""

    speaker: str
    utterances: str
    content: str
    f0: str
    phones: str
    """Paths."""


@dataclass(frozen=True, eq=False)
class Index:
    """The utterances of a version that can be trained on, by shard and row. Columns are as long as `ids`."""

    version: int
    dims: int
    """Of the content features."""
    shards: tuple[Shard, ...] = field(repr=False)
    speakers: tuple[str, ...] = field(repr=False)
    uploads: tuple[str, ...] = field(repr=False)
    """sha256."""
    batches: NDArray[np.int64] = field(repr=False)
    """int64 [uploads]: number of the batch in which each was prepared; older ones are lower."""
    languages: tuple[str, ...]
    ids: NDArray[np.bytes_] = field(repr=False)
    """Of the utterances, ASCII."""
    speaker: NDArray[np.int32] = field(repr=False)
    """Into `speakers`."""
    upload: NDArray[np.int32] = field(repr=False)
    """Into `uploads`."""
    language: NDArray[np.int16] = field(repr=False)
    """Into `languages`."""
    frames: NDArray[np.int32] = field(repr=False)
    """50 Hz: samples // 640."""
    shard: NDArray[np.int32] = field(repr=False)
    """Into `shards`."""
    row: NDArray[np.int32] = field(repr=False)
    """Of the shard's files."""
    placed: NDArray[np.bool_] = field(repr=False)
    """Whether the forced alignment says where the words of each are, and the front end which phones are theirs."""
    left_out: Mapping[LeftOut, int]
    """Utterances by reason."""

    def __len__(self) -> int:
        return len(self.ids)


def index(corpus: CorpusVersion, settings: DataSettings) -> Index:
    """Read a version's metadata.

    Raises:
        StoreError: somebody in it was forgotten, it has no content features or files that do not fit together.
        NoData: nothing is left; the message counts the reasons and says what mends them.
    """
    number, store = corpus.version.number, corpus.store
    if number in (gone := forgotten_versions(store)):
        raise StoreError(
            f"corpus version {number} of {store.root} cannot be trained on: a speaker of it was forgotten. "
            f"{_whole(corpus, gone)}"
        )
    names = corpus.version.features
    if missing := {"content", "f0"} - names.keys():
        raise StoreError(f"corpus version {number} of {store.root} has no features {', '.join(sorted(missing))}")
    files = [corpus.shards(table) for table in ("utterances", names["content"], names["f0"])]
    if any(
        [(f.key, f.speaker, f.rows) for f in found] != [(f.key, f.speaker, f.rows) for f in files[0]] for found in files
    ):
        raise StoreError(
            f"corpus version {number} of {store.root}: the shards of its features are not those of its utterances. "
            f"Delete {store.stages / 'shards'} and run `voicemill refresh`"
        )
    parts = [_Part.read(corpus, *triple) for triple in zip(*files, strict=True)]
    return _joined(corpus, parts, settings)


def _whole(corpus: CorpusVersion, gone: frozenset[int]) -> str:
    from voicemill.storage.corpus import versions

    last = versions.latest(corpus.store)
    if last is not None and last.number not in gone:
        return f"Train on version {last.number}, which is whole"
    return "`voicemill refresh` makes a fresh version, which is whole"


@dataclass(frozen=True, eq=False)
class _Part:
    """One shard's columns, everybody still in."""

    shard: Shard
    columns: Mapping[str, NDArray[Any]]
    reasons: NDArray[np.object_]
    """LeftOut or None, as far as settings do not matter."""
    dims: frozenset[int]

    @classmethod
    def read(cls, corpus: CorpusVersion, file: File, content: File, f0: File) -> "_Part":
        store, names = corpus.store, corpus.version.features
        wanted = ["id", "upload", "language", "text", "start", "stop", *MEASURES]
        ((_, rows),) = tables.read(store, "utterances", [file], wanted)
        ((_, made),) = tables.read(store, names["content"], [content], ["id", "frames", "dims"])
        ((_, pitch),) = tables.read(store, names["f0"], [f0], ["id", "frames"])
        if not rows["id"].equals(made["id"]) or not rows["id"].equals(pitch["id"]):
            raise StoreError(f"{file.path} and its features of {store.root} hold different utterances")
        texts = rows["text"].to_pylist()
        path = phones.ensure_phones(store, file, texts, rows["language"].to_pylist())
        said = pq.read_table(path, columns=["verdict", "count", "placed"], use_threads=False)
        frames = ((rows["stop"].to_numpy() - rows["start"].to_numpy()) // HOP).astype(np.int64)
        finite = np.all([np.isfinite(rows[name].to_numpy()) for name in MEASURES], axis=0)
        short = [np.abs(made["frames"].to_numpy() - frames) > 1, np.abs(pitch["frames"].to_numpy() // 2 - frames) > 1]
        reasons = np.array([LeftOut(word) if word else None for word in said["verdict"].to_pylist()], dtype=object)
        reasons[short[0] | short[1]] = LeftOut.UNFIT
        reasons[~finite] = LeftOut.NOT_FINITE
        columns = {
            "id": np.array(rows["id"].to_pylist(), dtype=np.bytes_),
            "upload": np.array(rows["upload"].to_pylist(), dtype=object),
            "language": np.array(rows["language"].to_pylist(), dtype=object),
            "frames": frames,
            "phones": said["count"].to_numpy(),
            "placed": said["placed"].to_numpy(),
        }
        folders = (tables.folder(store, table) for table in ("utterances", names["content"], names["f0"]))
        paths = [str(root / found.path) for root, found in zip(folders, (file, content, f0), strict=True)]
        shard = Shard(speaker=file.speaker, utterances=paths[0], content=paths[1], f0=paths[2], phones=str(path))
        return cls(shard, columns, reasons, frozenset(made["dims"].to_pylist()))


def _joined(corpus: CorpusVersion, parts: Sequence[_Part], settings: DataSettings) -> Index:
    sizes = [len(part.reasons) for part in parts]
    columns = (
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns} if parts else {}
    )
    reasons = np.concatenate([part.reasons for part in parts]) if parts else np.array([], dtype=object)
    if parts:
        _judge(reasons, columns["frames"], columns["phones"], settings)
    left_out = Counter(reason for reason in reasons.tolist() if reason is not None)
    if left_out.total() == len(reasons):
        raise NoData(_nothing(corpus, left_out))
    kept = np.flatnonzero(reasons == None)  # noqa: E711  # element by element
    uploads, upload = np.unique(columns["upload"][kept], return_inverse=True)
    languages, language = np.unique(columns["language"][kept], return_inverse=True)
    whose = np.repeat([part.shard.speaker for part in parts], sizes).astype(object)[kept]
    speakers, speaker = np.unique(whose, return_inverse=True)
    dims = frozenset[int]().union(*(part.dims for part in parts))
    if len(dims) != 1:
        raise StoreError(f"content features of {corpus.store.root} have {sorted(dims)} dimensions: expected one number")
    known = corpus.uploads(["sha256", "batch_number"])
    numbers = dict(zip(known["sha256"].to_pylist(), known["batch_number"].to_pylist(), strict=True))
    return Index(
        version=corpus.version.number,
        dims=next(iter(dims)),
        shards=tuple(part.shard for part in parts),
        speakers=tuple(speakers.tolist()),
        uploads=tuple(uploads.tolist()),
        batches=np.array([numbers.get(sha256, 0) for sha256 in uploads.tolist()], dtype=np.int64),
        languages=tuple(languages.tolist()),
        ids=columns["id"][kept],
        speaker=speaker.astype(np.int32),
        upload=upload.astype(np.int32),
        language=language.astype(np.int16),
        frames=columns["frames"][kept].astype(np.int32),
        shard=np.repeat(np.arange(len(parts), dtype=np.int32), sizes)[kept],
        row=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])[kept],
        placed=columns["placed"][kept],
        left_out=dict(left_out),
    )


def _judge(
    reasons: NDArray[np.object_], frames: NDArray[np.int64], count: NDArray[np.int64], settings: DataSettings
) -> None:
    """Fill in the reasons that settings decide; what has one keeps it."""
    rate = count / np.maximum(frames, 1) * CONTENT_RATE
    for reason, hit in (
        (LeftOut.TOO_SHORT, frames < settings.shortest_s * CONTENT_RATE),
        (LeftOut.TOO_LONG, frames > settings.longest_s * CONTENT_RATE),
        (LeftOut.FEW_PHONES, rate < settings.fewest_phones),
        (LeftOut.MANY_PHONES, rate > settings.most_phones),
    ):
        reasons[hit & (reasons == None)] = reason  # noqa: E711


def _nothing(corpus: CorpusVersion, left_out: Mapping[LeftOut, int]) -> str:
    where = f"corpus version {corpus.version.number} of {corpus.store.root}"
    if not left_out:
        return f"{where} has no utterances: `voicemill ledger` says what became of its uploads"
    lines = [
        f"  {count} {reason}: {reason.meaning}; {reason.mends}"
        for reason, count in sorted(left_out.items(), key=lambda item: -item[1])
    ]
    return "\n".join([f"{where} has nothing that can be trained on. Its {sum(left_out.values())} utterances:", *lines])
