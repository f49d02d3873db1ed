"""Utterances of a corpus version as lessons for a small aligner: audio and phones, speakers in turn up to a limit."""

import io
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from voicemill.model.aligner.measuring import Spoken
from voicemill.model.aligner.recipe import MOST
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.words import split
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NoData, StoreError
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.units import RATE, Seconds

SHORTEST: Seconds = 0.5
LONGEST: Seconds = 30.0
"""Utterances that are longer are left out."""


@dataclass(frozen=True)
class Row:
    """An utterance that can be learned from."""

    id: str
    speaker: str
    text: str
    seconds: Seconds


def check_allowed(corpus: CorpusVersion) -> None:
    """Raise StoreError where a speaker of the version was forgotten: nothing learns from such a version."""
    if corpus.version.number in forgotten_versions(corpus.store):
        raise StoreError(
            f"a speaker of corpus version {corpus.version.number} of {corpus.store.root} was forgotten: no training "
            "uses that version again. `voicemill refresh` makes a version without them"
        )


def read(corpus: CorpusVersion, language: str) -> list[Spoken]:
    """Utterances of a language with a text, at most `MOST` seconds; every speaker has a turn before one has the next.

    Texts that an aligner has refused are left out.

    Raises:
        NoData: the version has no such utterance.
        StoreError: a speaker of the version was forgotten.
        ConfigError: the language has no phones.
    """
    check_allowed(corpus)
    rows = sorted(_rows(corpus, language), key=lambda row: (row.speaker, row.id))
    if not rows:
        raise NoData(
            f"corpus version {corpus.version.number} of {corpus.store.root} has no utterance in {language!r} with a "
            "text: give transcripts in the inbox and run `voicemill refresh`"
        )
    by_speaker: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_speaker[row.speaker].append(row)
    chosen: dict[str, Row] = {}
    total = 0.0
    for row in itertools.chain(*itertools.zip_longest(*by_speaker.values())):
        if row is not None and total + row.seconds <= MOST:
            chosen[row.id] = row
            total += row.seconds
    spoken = {}
    for speaker in by_speaker:
        for table in corpus.scan("utterances", ["id", "audio"], speaker):
            for id, audio in zip(table["id"].to_pylist(), table["audio"], strict=True):
                if id in chosen:
                    spoken[id] = _spoken(chosen[id], audio.as_py(), language)
    return [spoken[id] for id in sorted(chosen, key=lambda id: (chosen[id].speaker, id))]


def _rows(corpus: CorpusVersion, language: str) -> Iterator[Row]:
    for table in corpus.scan("utterances", ["id", "speaker", "text", "seconds", "language", "alignment"]):
        for row in table.to_pylist():
            usable = row["language"] == language and row["text"] and row["alignment"] != "failed"
            if usable and SHORTEST <= row["seconds"] <= LONGEST:
                yield Row(row["id"], row["speaker"], row["text"], row["seconds"])


def _spoken(row: Row, audio: bytes, language: str) -> Spoken:
    import soundfile

    wave, rate = soundfile.read(io.BytesIO(audio), dtype="float32")
    if rate != RATE or wave.ndim != 1:
        raise StoreError(
            f"the audio of utterance {row.id} has {wave.shape} samples at {rate} Hz: expected mono, {RATE} Hz"
        )
    words = split(row.text, language)
    return Spoken(row.speaker, wave, tuple(words), pronounce(words, language))
