"""Voices of speakers without consent, and uploads under other names that hold one of them.

Reference: the vectors that the newest corpus version with the speaker pins, as long as its files exist: those of a
speaker whose consent was withdrawn, or only assumed before. A forgotten speaker has none. Neither has a speaker who
never had consent: a held upload is not processed, also not to learn its voice. References live in memory alone.
Bounds: an upload of 3 s or more matches where its similarity reaches 0.85 and lies at most 0.04 under the median of the
speaker's own segments. On real recordings (378 uploads against 27 speakers) no upload of another speaker matches in
9,919 comparisons, and 91.9 % of the speaker's own do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from voicemill.model.speaker.comparison import Reference, enrol, spread_evenly, unit
from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.forgetting.held_voices import HeldVoice
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.voices import LEAST_S, LEAST_SEGMENTS

SHORTEST: Seconds = 3.0
"""Speech of an upload that is compared."""
LEAST_SIMILARITY, MARGIN = 0.85, 0.04


@dataclass(frozen=True, eq=False)
class SpokenSegment:
    """Voice of one segment of an upload."""

    upload: str
    seconds: Seconds
    vector: NDArray[np.float32]
    """float32 [256], length 1."""


def references(store: Store, speakers: Iterable[str], table: str) -> dict[str, Reference]:
    """Speaker -> reference from the newest version with the speaker and this feature table, where there is one."""
    folder = tables.folder(store, table)
    remaining = {speaker for speaker in speakers if (folder / tables.folder_of(speaker)).exists()}
    found: dict[str, Reference] = {}
    for version in reversed(versions.history(store)) if remaining else ():
        if version.features.get("speaker") != table:
            continue
        corpus = CorpusVersion(store, version)
        for speaker in sorted(remaining & {file.speaker for file in corpus.shards(table)}):
            remaining.discard(speaker)
            if reference := reference_of(spoken_segments(corpus, speaker)):
                found[speaker] = reference
    return found


def reference_of(segments: Sequence[SpokenSegment]) -> Reference | None:
    """Reference of a speaker's segments; None where there is too little speech."""
    chosen = [segments[at] for at in spread_evenly(len(segments))]
    if len(chosen) < LEAST_SEGMENTS:
        return None
    reference, _ = enrol(np.stack([row.vector for row in chosen]), [row.seconds for row in chosen])
    return reference if reference.seconds >= LEAST_S else None


def spoken_segments(corpus: CorpusVersion, speaker: str | None = None) -> list[SpokenSegment]:
    """Voices of the utterances of a corpus version, of one speaker or of all."""
    about: pa.Table = corpus.utterances(["upload", "seconds"], speaker)
    rows = zip(about.to_pylist(), corpus.features("speaker", None, speaker).to_pylist(), strict=True)
    return [
        SpokenSegment(
            own["upload"],
            own["seconds"],
            unit(decode(row["data"], row["frames"], row["dims"])[0].astype(np.float32)),
        )
        for own, row in rows
    ]


def match_voices(known: Mapping[str, Reference], segments: Iterable[SpokenSegment]) -> list[HeldVoice]:
    """Uploads whose voice is a known one, with the nearest speaker."""
    uploads: dict[str, list[SpokenSegment]] = {}
    for segment in segments:
        uploads.setdefault(segment.upload, []).append(segment)
    held = []
    for upload, rows in uploads.items():
        weights = np.array([row.seconds for row in rows], np.float32)
        if weights.sum() < SHORTEST:
            continue
        voice = unit(weights @ np.stack([row.vector for row in rows]))
        similar = {
            speaker: similarity
            for speaker, reference in known.items()
            if (similarity := float(voice @ reference.vector)) >= max(LEAST_SIMILARITY, reference.typical - MARGIN)
        }
        if similar:
            speaker = max(similar, key=similar.__getitem__)
            held.append(HeldVoice(upload, speaker, round(similar[speaker], 4)))
    return held
