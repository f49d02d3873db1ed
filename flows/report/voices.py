"""Voices across folders: people who stand in two folders, and folders that hold more than one voice.

Compares the reference of every speaker with every other: on real recordings halves of one folder reach 0.93 and more,
two persons at most 0.79 (666 pairs of 37 folders).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from voicemill.model.speaker.comparison import Reference
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import Seconds, to_seconds
from voicemill.tasks.intake.known_voices import reference_of, spoken_segments

SAME = 0.92
"""Cosine of two references from which they are one person's."""
MOST_SPEAKERS = 3000
"""References that are compared: the matrix of 3,000 has 72 MB."""


@dataclass(frozen=True)
class SameVoice:
    """Two folders that hold one person's voice."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True)
class OtherVoices:
    """Speech in a speaker's folder that was filtered because of its voice."""

    speaker: str
    other: Seconds
    """Speech of another speaker."""
    changing: Seconds
    """Segments in which the voice changes."""
    kept: Seconds


@dataclass(frozen=True)
class VoicesAcross:
    """Findings of one corpus version; empty where it has no voices."""

    same: Sequence[SameVoice] = ()
    """Most alike first."""
    others: Sequence[OtherVoices] = ()
    """Most filtered speech first."""


def voices_across(corpus: CorpusVersion, ledger: pa.Table) -> VoicesAcross:
    """Compare the speakers of a version; `ledger`: its columns speaker, start, stop, outcome and reason."""
    if "speaker" not in corpus.version.features:
        return VoicesAcross()
    table = corpus.version.features["speaker"]
    names = sorted({file.speaker for file in corpus.shards(table)})[:MOST_SPEAKERS]
    found = {name: reference_of(spoken_segments(corpus, name)) for name in names}
    return VoicesAcross(alike({name: ref for name, ref in found.items() if ref is not None}), _others(ledger))


def alike(references: Mapping[str, Reference]) -> list[SameVoice]:
    """Pairs of speakers with one voice, the most similar first."""
    if len(references) < 2:
        return []
    names = list(references)
    vectors = np.stack([references[name].vector for name in names])
    similar = np.triu(vectors @ vectors.T, 1)
    pairs = [SameVoice(names[a], names[b], float(similar[a, b])) for a, b in np.argwhere(similar >= SAME)]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def _others(ledger: pa.Table) -> list[OtherVoices]:
    samples: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows = zip(*(ledger[name].to_pylist() for name in ("speaker", "start", "stop", "outcome", "reason")), strict=True)
    for speaker, start, stop, outcome, reason in rows:
        samples[speaker]["kept" if outcome == "kept" else reason] += stop - start
    found = [
        OtherVoices(
            speaker,
            to_seconds(parts[Reason.OTHER_SPEAKER.value]),
            to_seconds(parts[Reason.TWO_SPEAKERS.value]),
            to_seconds(parts["kept"]),
        )
        for speaker, parts in samples.items()
    ]
    return sorted((row for row in found if row.other or row.changing), key=lambda row: -row.other - row.changing)
