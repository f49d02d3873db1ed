"""Index of the utterances of a pinned corpus version for training: columns, read from metadata without audio.

Utterances that cannot be trained on are left out, each for one reason, which is counted. Cost: three small reads for
each shard, and the phones of new shards (`voicemill.model.data.phones`).
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
from voicemill.storage.corpus.rows import reading
from voicemill.storage.corpus.tables import File
from voicemill.storage.corpus.text_coverage import text_gaps, text_shares
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NoData, StoreError
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.units import RATE

HOP = RATE // CONTENT_RATE
MEASURES = ("seconds", "loudness_after", "gain_db", "entropy", "f0_median")
"""Columns of an utterance that are not finite where its audio is not."""


class LeftOut(StrEnum):
    """Reasons why an utterance is not trained on, with their `meaning` and the `remedy`, for readers."""

    meaning: str
    remedy: str

    def __new__(cls, value: str, meaning: str = "", remedy: str = "") -> "LeftOut":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning, member.remedy = meaning, remedy
        return member

    NO_TEXT = (
        "no_text",
        "it has no transcript",
        "put a .txt beside the upload, or set transcribe.engine, and run `voicemill refresh`",
    )
    LANGUAGE = (
        "language",
        "the text front end does not support its language",
        "zh, en and ko are supported, with `pip install 'voicemill[ja,yue]'` ja and yue too; see the upload's language",
    )
    NO_PHONES = "no_phones", "its text has no pronounceable characters", "correct the transcript"
    UNSAYABLE = "unsayable", "its text has characters without a pronunciation", "correct the transcript"
    TOO_SHORT = "too_short", "shorter than data.shortest_s", "lower data.shortest_s, or slice.min_segment_s"
    TOO_LONG = "too_long", "longer than data.longest_s", "raise data.longest_s, or lower slice.max_segment_s"
    FEW_PHONES = "few_phones", "fewer phones per second than data.fewest_phones", "correct the transcript"
    MANY_PHONES = "many_phones", "more phones per second than data.most_phones", "correct the transcript"
    TIER = "tier", "its tier of quality is not among data.tiers", "name its tier in data.tiers, or record it again"
    NOT_FINITE = "not_finite", "a measure of its audio is not finite", "remove the upload: its samples are damaged"
    UNFIT = (
        "unfit",
        "its features are not as long as its audio",
        "delete the folder stages/ of the store and run `voicemill refresh`",
    )


@dataclass(frozen=True)
class Shard:
    """Paths of the files of one shard; rows of the same number belong to the same utterance."""

    speaker: str
    utterances: str
    content: str
    f0: str
    phones: str
    mel: str = ""
    """"" = the version has no log-mels."""


@dataclass(frozen=True, eq=False)
class Index:
    """Utterances of a version that can be trained on, by shard and row. Columns are as long as `ids`."""

    version: int
    dims: int
    """Dimensions of the content features."""
    shards: tuple[Shard, ...] = field(repr=False)
    speakers: tuple[str, ...] = field(repr=False)
    uploads: tuple[str, ...] = field(repr=False)
    """sha256 of each upload."""
    batches: NDArray[np.int64] = field(repr=False)
    """Number of the batch in which each upload was prepared, int64 [uploads]; older ones are lower."""
    languages: tuple[str, ...]
    ids: NDArray[np.bytes_] = field(repr=False)
    """Ids of the utterances, ASCII."""
    speaker: NDArray[np.int32] = field(repr=False)
    """Place in `speakers`."""
    upload: NDArray[np.int32] = field(repr=False)
    """Place in `uploads`."""
    language: NDArray[np.int16] = field(repr=False)
    """Place in `languages`."""
    frames: NDArray[np.int32] = field(repr=False)
    """Length in frames of 50 Hz: samples // 640."""
    shard: NDArray[np.int32] = field(repr=False)
    """Place in `shards`."""
    row: NDArray[np.int32] = field(repr=False)
    """Row in the files of the shard."""
    placed: NDArray[np.bool_] = field(repr=False)
    """Whether the words have times, and their phones are known."""
    left_out: Mapping[LeftOut, int]
    """Reason -> number of utterances left out."""

    def __len__(self) -> int:
        return len(self.ids)


def index(corpus: CorpusVersion, settings: DataSettings) -> Index:
    """Read the metadata of a version.

    Raises:
        StoreError: a speaker of it was forgotten, it has no content features, or its files do not match.
        NoData: no utterance remains; the message counts the reasons and gives the remedies.
    """
    number, store = corpus.version.number, corpus.store
    if number in (unusable := forgotten_versions(store)):
        raise StoreError(
            f"corpus version {number} of {store.root} cannot be trained on: a speaker of it was forgotten. "
            f"{_replacement(corpus, unusable)}"
        )
    names = corpus.version.features
    if missing := {"content", "f0"} - names.keys():
        raise StoreError(f"corpus version {number} of {store.root} has no features {', '.join(sorted(missing))}")
    tables_read = ("utterances", names["content"], names["f0"], *([names["mel"]] if "mel" in names else []))
    files = [corpus.shards(table) for table in tables_read]
    if any(
        [(f.key, f.speaker, f.rows) for f in part] != [(f.key, f.speaker, f.rows) for f in files[0]] for part in files
    ):
        raise StoreError(
            f"corpus version {number} of {store.root}: the shards of its features are not those of its utterances. "
            f"Delete {store.stages / 'shards'} and run `voicemill refresh`"
        )
    parts = [_Part.read(corpus, *row) for row in zip(*files, strict=True)]
    return _join(corpus, parts, settings)


def _replacement(corpus: CorpusVersion, unusable: frozenset[int]) -> str:
    from voicemill.storage.corpus import versions

    latest = versions.latest(corpus.store)
    if latest is not None and latest.number not in unusable:
        return f"Train on version {latest.number}"
    return "`voicemill refresh` makes a version without that speaker"


@dataclass(frozen=True, eq=False)
class _Part:
    """Columns of one shard, before utterances are left out."""

    shard: Shard
    columns: Mapping[str, NDArray[Any]]
    reasons: NDArray[np.object_]
    """LeftOut or None for each row, by the rules that need no settings."""
    dims: frozenset[int]

    @classmethod
    def read(cls, corpus: CorpusVersion, file: File, content: File, f0: File, mel: File | None = None) -> "_Part":
        store, names = corpus.store, corpus.version.features
        names_read = ["id", "upload", "language", "text", "start", "stop", "tier", *MEASURES]
        ((_, rows),) = tables.read(store, "utterances", [file], names_read)
        ((_, features),) = tables.read(store, names["content"], [content], ["id", "frames", "dims"])
        ((_, pitch),) = tables.read(store, names["f0"], [f0], ["id", "frames"])
        if not rows["id"].equals(features["id"]) or not rows["id"].equals(pitch["id"]):
            raise StoreError(f"{file.path} and its features of {store.root} hold different utterances")
        texts = rows["text"].to_pylist()
        path = phones.ensure_phones(store, file, texts, rows["language"].to_pylist())
        with reading(path):
            readings = pq.read_table(path, columns=["verdict", "count", "placed"], use_threads=False)
        frames = ((rows["stop"].to_numpy() - rows["start"].to_numpy()) // HOP).astype(np.int64)
        finite = np.all([np.isfinite(rows[name].to_numpy()) for name in MEASURES], axis=0)
        short = [
            np.abs(features["frames"].to_numpy() - frames) > 1,
            np.abs(pitch["frames"].to_numpy() // 2 - frames) > 1,
        ]
        reasons = np.array([LeftOut(word) if word else None for word in readings["verdict"].to_pylist()], dtype=object)
        reasons[short[0] | short[1]] = LeftOut.UNFIT
        reasons[~finite] = LeftOut.NOT_FINITE
        columns = {
            "id": np.array(rows["id"].to_pylist(), dtype=np.bytes_),
            "upload": np.array(rows["upload"].to_pylist(), dtype=object),
            "language": np.array(rows["language"].to_pylist(), dtype=object),
            "frames": frames,
            "phones": readings["count"].to_numpy(),
            "placed": readings["placed"].to_numpy(),
            "tier": np.array(rows["tier"].to_pylist(), dtype=object),
        }
        folders = (tables.folder(store, table) for table in ("utterances", names["content"], names["f0"]))
        paths = [str(root / part.path) for root, part in zip(folders, (file, content, f0), strict=True)]
        log_mels = "" if mel is None else str(tables.folder(store, names["mel"]) / mel.path)
        shard = Shard(
            speaker=file.speaker, utterances=paths[0], content=paths[1], f0=paths[2], phones=str(path), mel=log_mels
        )
        return cls(shard, columns, reasons, frozenset(features["dims"].to_pylist()))


def _join(corpus: CorpusVersion, parts: Sequence[_Part], settings: DataSettings) -> Index:
    sizes = [len(part.reasons) for part in parts]
    columns = (
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns} if parts else {}
    )
    reasons = np.concatenate([part.reasons for part in parts]) if parts else np.array([], dtype=object)
    if parts:
        _apply_settings(reasons, columns, settings)
    left_out = Counter(reason for reason in reasons.tolist() if reason is not None)
    if left_out.total() == len(reasons):
        raise NoData(_no_data_message(corpus, left_out))
    kept = np.flatnonzero(reasons == None)  # noqa: E711  # element by element
    uploads, upload = np.unique(columns["upload"][kept], return_inverse=True)
    languages, language = np.unique(columns["language"][kept], return_inverse=True)
    names = np.repeat([part.shard.speaker for part in parts], sizes).astype(object)[kept]
    speakers, speaker = np.unique(names, return_inverse=True)
    dims = frozenset[int]().union(*(part.dims for part in parts))
    if len(dims) != 1:
        raise StoreError(f"content features of {corpus.store.root} have {sorted(dims)} dimensions: expected one number")
    table = corpus.uploads(["sha256", "batch_number"])
    numbers = dict(zip(table["sha256"].to_pylist(), table["batch_number"].to_pylist(), strict=True))
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


def _apply_settings(reasons: NDArray[np.object_], columns: Mapping[str, NDArray[Any]], settings: DataSettings) -> None:
    """Fill in the reasons that depend on the settings; existing reasons stay."""
    frames, every_tier = columns["frames"], len(set(settings.tiers)) == 3
    rate = columns["phones"] / np.maximum(frames, 1) * CONTENT_RATE
    for reason, matches in (
        (LeftOut.TOO_SHORT, frames < settings.shortest_s * CONTENT_RATE),
        (LeftOut.TOO_LONG, frames > settings.longest_s * CONTENT_RATE),
        (LeftOut.FEW_PHONES, rate < settings.fewest_phones),
        (LeftOut.MANY_PHONES, rate > settings.most_phones),
        (LeftOut.TIER, ~np.isin(columns["tier"].astype(str), settings.tiers) & (not every_tier)),
    ):
        reasons[matches & (reasons == None)] = reason  # noqa: E711


def _no_data_message(corpus: CorpusVersion, left_out: Mapping[LeftOut, int]) -> str:
    where = f"corpus version {corpus.version.number} of {corpus.store.root}"
    if not left_out:
        return f"{where} has no utterances: `voicemill ledger` shows where its uploads went"
    lines = [
        f"  {count} {reason}: {reason.meaning}; {reason.remedy}"
        for reason, count in sorted(left_out.items(), key=lambda item: -item[1])
    ]
    lines += [f"  {gap.line}" for gap in text_gaps(text_shares(corpus))]
    return "\n".join(
        [f"{where} has no utterance that can be trained on. Its {sum(left_out.values())} utterances:", *lines]
    )
