"""Comparison of the segments of a batch with the voice of their speaker, enrolled from the speaker's first batches.

In uploads with several people (`diarise`) the mean of a voice is compared too, and decides for all of its segments.
They are part of a reference only where the speaker has too few other uploads, and only if most of all that speech is
one voice and the other uploads, if any, are of it: else the voices there remain unknown, and none is kept.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.comparison import Reference, enrol, spread_evenly, unit
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Voice
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.stage import Inputs, RunContext

if TYPE_CHECKING:
    from voicemill.model.speaker.encoder import Encoder

Precision = Literal["auto", "float32", "bfloat16"]
WEIGHTS = "pretrained.pt"

LEAST_S: Seconds = 20.0
"""Speech of a reference, without the segment that is compared with it. With less, nobody is judged."""
LEAST_SEGMENTS = 3
"""The same in segments: of two that differ nobody can tell which one is the speaker's."""
OWN = ("", "own")
"""`Segment.voice` where no other voice is expected: an upload with one person, and turns named after the speaker."""
MAJORITY = 0.5
"""Share of a speaker's speech that must belong to the reference for voices of uploads with several people."""


@dataclass(frozen=True)
class Similarity:
    """Cosine of a segment to its speaker's reference, and the least that counts as the same voice."""

    value: float
    threshold: float

    @property
    def is_other(self) -> bool:
        """Whether it is the voice of another speaker."""
        return self.value < self.threshold


def voice_encoder(inputs: Inputs, precision: Precision) -> "Encoder":
    """The embedded speaker encoder, kept from one run to the next."""
    from voicemill.model.device import place
    from voicemill.model.speaker.encoder import Encoder

    def load() -> Encoder:
        return Encoder.load(SPEAKER.path(WEIGHTS), place("cpu", precision).dtype)

    return inputs.model(("speaker", SPEAKER.digest, precision), load)


def vector(row: Voice) -> NDArray[np.float32]:
    """float32 [256], length 1."""
    return unit(decode(row.data, row.frames, row.dims)[0].astype(np.float32))


def compare_voices(inputs: Inputs, context: RunContext) -> dict[tuple[str, int], Similarity]:
    """(upload, index) -> similarity, for every segment whose speaker has enough other speech; else nothing."""
    members: dict[str, list[Voice]] = defaultdict(list)
    for enrolment in context.enrolments:
        if artifact := context.voices.get(enrolment.key):
            rows = artifact.rows(Voice)
            own = set(enrolment.uploads)
            members[enrolment.speaker] += [r for r in rows if r.upload in own and r.outcome is Outcome.KEPT]
    speakers = {upload.sha256: upload.speaker for upload in inputs.batch.uploads}
    batch: dict[str, list[Voice]] = defaultdict(list)
    for row in inputs.rows("speaker", Voice):
        batch[speakers[row.upload]].append(row)
    result: dict[tuple[str, int], Similarity] = {}
    for speaker, rows in batch.items():
        result |= _compare(members[speaker], rows)
    return result


@dataclass(frozen=True)
class _Enrolled:
    """Reference of a speaker, with the similarity of each member to it without that member."""

    reference: Reference
    members: dict[tuple[str, int], float]
    share: float
    """Share of the members' speech that belongs to the reference."""

    def judges(self, seconds: Seconds = 0.0, segments: int = 0) -> bool:
        """Whether enough speech remains in the reference without this much of it."""
        return self.reference.seconds - seconds >= LEAST_S and self.reference.segments - segments >= LEAST_SEGMENTS

    def similarity(self, mean: NDArray[np.float32], margin: float) -> Similarity:
        """Similarity of a vector that is no member."""
        return Similarity(float(mean @ self.reference.vector), self.reference.typical - margin)


def _mean(rows: list[Voice]) -> NDArray[np.float32]:
    """Vector of several segments, float32 [256], length 1."""
    return unit(np.sum([row.seconds * vector(row) for row in rows], axis=0))


def _enrol(members: list[Voice]) -> _Enrolled | None:
    """Reference of segments of uploads with one person; with too few, of all, where it is their voice too."""
    plain = [row for row in members if row.voice in OWN]
    enrolled = _enrol_all(plain)
    if len(plain) == len(members) or (enrolled and enrolled.judges()):
        return enrolled
    everything = _enrol_all(members)
    if everything is None or (plain and everything.similarity(_mean(plain), plain[0].margin).is_other):
        return enrolled
    return everything


def _enrol_all(members: list[Voice]) -> _Enrolled | None:
    chosen = [members[at] for at in spread_evenly(len(members))]
    if len(chosen) <= LEAST_SEGMENTS:
        return None
    seconds = [row.seconds for row in chosen]
    reference, alone = enrol(np.stack([vector(row) for row in chosen]), seconds)
    names = [(row.upload, row.index) for row in chosen]
    return _Enrolled(reference, dict(zip(names, map(float, alone), strict=True)), reference.seconds / sum(seconds))


def _compare(members: list[Voice], rows: list[Voice]) -> dict[tuple[str, int], Similarity]:
    enrolled = _enrol(members)
    if enrolled is None:
        return {}
    result = {}
    for row in rows:
        name = (row.upload, row.index)
        similarity = enrolled.similarity(vector(row), row.margin)
        if name in enrolled.members:
            similarity = Similarity(enrolled.members[name], similarity.threshold)
        own = (row.seconds, 1) if name in enrolled.members and row.voice in OWN else (0.0, 0)
        if enrolled.judges(*own):
            result[name] = similarity
    voices: dict[tuple[str, str], list[Voice]] = defaultdict(list)
    for row in rows:
        if row.voice not in OWN:
            voices[row.upload, row.voice].append(row)
    for group in voices.values():
        whole = enrolled.similarity(_mean(group), min(row.margin for row in group))
        for name in ((row.upload, row.index) for row in group):
            if enrolled.share <= MAJORITY:
                result.pop(name, None)
            elif whole.is_other and name in result:
                result[name] = whole
    return result
