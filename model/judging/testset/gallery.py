"""The speakers of a corpus among whom a voice is to be recognised: some utterances of each, none of a test set."""

import numpy as np
from pydantic import Field

from voicemill.model.data.index import index
from voicemill.model.judging.testset.clips import Clips
from voicemill.model.judging.testset.testset import HeldOut, TestSet, chosen
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.settings_file import FrozenSettings


class GallerySettings(FrozenSettings):
    """How many."""

    speakers: int = Field(100, ge=2)
    """At most; those of the test set are always among them."""
    utterances: int = Field(5, ge=1)
    """Of each, at most."""
    longest_s: float = Field(10.0, gt=0)
    """Of an utterance so much is heard."""


def gallery(
    corpus: CorpusVersion, testset: TestSet, settings: GallerySettings, held: HeldOut | None = None
) -> dict[str, list[Wave]]:
    """Speaker -> float32 [samples], 32 kHz each. A speaker all of whose utterances are in the test set is left out."""
    found = index(corpus, (held or HeldOut()).data)
    spoken = np.isin(found.ids, np.array([s.id.encode() for s in testset.sentences], dtype=np.bytes_))
    judged = {sentence.speaker for sentence in testset.sentences}
    order = sorted(range(len(found.speakers)), key=lambda n: (found.speakers[n] not in judged, found.speakers[n]))
    clips, waves = Clips(corpus, found), dict[str, list[Wave]]()
    for number in order[: max(settings.speakers, len(judged))]:
        rows = chosen(found, np.flatnonzero((found.speaker == number) & ~spoken).tolist(), settings.utterances)
        if rows:
            waves[found.speakers[number]] = [clips.read(row).cut(settings.longest_s).wave for row in rows]
    return waves
