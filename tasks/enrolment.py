"""Which batches say what a speaker sounds like: the lowest-numbered ones that hold a minute of the speaker's uploads.

A batch is formed once and never again, so the voice that later batches are compared with stays: a month of wrong
recordings cannot become its own reference. Only the content keys of these batches enter the key of the shards; a change
in them writes the shards of the speaker's batches again, and nothing before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from voicemill.storage.corpus.artifacts import Artifact
from voicemill.storage.records import Batch
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.stage import Enrolment

ENROL_S: Seconds = 60.0
"""Seconds of uploads by their headers: three times the speech that a comparison needs, since part of it is silence."""

Enrolling = Mapping[str, Sequence[Batch]]
"""Speaker -> the batches whose segments are the speaker's reference."""


def enrolling_batches(batches: Iterable[Batch]) -> dict[str, tuple[Batch, ...]]:
    """The enrolling batches of every speaker, by number."""
    seconds: dict[str, Seconds] = defaultdict(float)
    chosen: dict[str, list[Batch]] = defaultdict(list)
    for batch in sorted(batches, key=lambda batch: batch.number):
        held: dict[str, Seconds] = defaultdict(float)
        for upload in batch.uploads:
            held[upload.speaker] += upload.seconds
        for speaker, length in held.items():
            if seconds[speaker] < ENROL_S:
                chosen[speaker].append(batch)
                seconds[speaker] += length
    return {speaker: tuple(rows) for speaker, rows in chosen.items()}


def speakers_of(batch: Batch) -> list[str]:
    """Speakers with an upload in a batch, sorted."""
    return sorted({upload.speaker for upload in batch.uploads})


def gaps_of(enrolments: Iterable[Enrolment], voices: Mapping[str, Artifact]) -> list[str]:
    """Keys of outputs and uploads that the references lack: what is compared without them is not final."""
    enrolments = tuple(enrolments)
    own = {upload for enrolment in enrolments for upload in enrolment.uploads}
    pending = {upload for artifact in voices.values() for upload in artifact.meta.pending}
    return sorted({enrolment.key for enrolment in enrolments if enrolment.key not in voices} | (own & pending))
