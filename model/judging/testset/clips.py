"""Utterances of a corpus version with audio and text, for judging: read one by one from their shards."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np

from voicemill.model.data.index import Index
from voicemill.model.data.reader import Columns
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreError
from voicemill.storage.units import RATE, Seconds, to_samples


@dataclass(frozen=True, eq=False)
class Clip:
    """A stretch of real speech."""

    id: str
    """Id of the utterance; joined utterances have their ids with + between them."""
    wave: Wave = field(repr=False)
    """float32 [samples], -1..1, 32 kHz."""
    text: str
    """Transcript; "" = not known."""
    language: str

    def cut(self, longest: Seconds) -> "Clip":
        """Return the clip, or its beginning where it is longer; the text of a part is not known."""
        most = to_samples(longest)
        return self if len(self.wave) <= most else replace(self, wave=self.wave[:most], text="")

    @staticmethod
    def joined(parts: Sequence["Clip"]) -> "Clip":
        """Return several clips as one, in order."""
        text = " ".join(part.text for part in parts) if all(part.text for part in parts) else ""
        return Clip(
            "+".join(part.id for part in parts), np.concatenate([p.wave for p in parts]), text, parts[0].language
        )


class Clips:
    """Reader of clips by row of an index; a shard stays open until another one is requested."""

    def __init__(self, corpus: CorpusVersion, found: Index) -> None:
        self._corpus, self._index = corpus, found
        self._open: tuple[int, Columns] | None = None

    def read(self, row: int) -> Clip:
        """Return one utterance.

        Raises:
            StoreError: a file is missing, or its audio cannot be read.
        """
        shard = int(self._index.shard[row])
        if self._open is None or self._open[0] != shard:
            if self._open is not None:
                self._open[1].close()
            columns = Columns(self._index.shards[shard].utterances, ["id", "text", "language", "audio"])
            self._open = shard, columns
        found = self._open[1].row(int(self._index.row[row]))
        name = str(found["id"].as_py())
        wave = _decoded(found["audio"].as_py(), name)
        return Clip(name, wave, str(found["text"].as_py()), str(found["language"].as_py()))


def _decoded(audio: bytes, name: str) -> Wave:
    import soundfile

    wave, rate = soundfile.read(BytesIO(audio), dtype="float32")
    if rate != RATE or wave.ndim != 1:
        raise StoreError(
            f"the audio of utterance {name} has {wave.shape} samples at {rate} Hz: expected {RATE} Hz mono"
        )
    found: Wave = wave
    return found
