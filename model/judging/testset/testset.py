"""The test set of a voice: held-out sentences of its speakers, each with its real recording and a reference, another
utterance of the same speaker that the voice is cloned from.

`model.data.split` decides what is held out, by the rule and the settings of the training, so the set grows with the
corpus and never includes what was trained on. A bounded number is taken, speakers in turn, by a hash of the ids: mostly
the same ones in two corpus versions. Its sha256 covers everything that a judge reads.
A corpus too small for that gives what it has, and `notes` says so; no sentence that was trained on counts as held out.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from voicemill.model.data.index import Index, index
from voicemill.model.data.sources import masks
from voicemill.model.data.split import held_out_units
from voicemill.model.judging.testset.clips import Clip, Clips
from voicemill.model.settings.training import DataSettings
from voicemill.model.speaking.reference import LONGEST, SHORTEST
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NoData
from voicemill.storage.keys import digest
from voicemill.storage.settings_file import FrozenSettings
from voicemill.storage.units import RATE

VERSION = 1
"""Changes when the same corpus and settings give another test set."""


class TestSetSettings(FrozenSettings):
    """Sentences of the test set."""

    __test__ = False

    sentences: int = Field(20, ge=1, le=500)
    """Most sentences with a recording."""
    texts: tuple[str, ...] = ()
    """Further sentences, without a recording, synthesised in the voice of the first speaker."""
    longest_s: float = Field(12.0, ge=1, le=60)
    """Longest utterance, s."""


class GallerySettings(FrozenSettings):
    """Size of the gallery, the speakers among whom a voice is identified."""

    speakers: int = Field(100, ge=2)
    """Most speakers; those of the test set are always among them."""
    utterances: int = Field(5, ge=1)
    """Most utterances of each speaker."""
    longest_s: float = Field(10.0, gt=0)
    """Longest part of an utterance that is read, s."""


@dataclass(frozen=True)
class HeldOut:
    """The rule by which the training held utterances out, and what was trained on nevertheless."""

    data: DataSettings = field(default_factory=DataSettings)
    by: Literal["recordings", "speakers"] = "recordings"
    heard: frozenset[str] = field(default=frozenset(), repr=False)
    """Ids of utterances that some training drew on although this rule holds them out: another phase, another mix."""


@dataclass(frozen=True, eq=False)
class Sentence:
    """One sentence of a test set."""

    id: str
    """Id of the utterance; "text-..." without one."""
    text: str
    language: str
    speaker: str
    recording: Wave | None = field(repr=False)
    """The real recording, float32 [samples], 32 kHz; None without one."""
    reference: Clip
    """Recording of the same speaker, 3 to 10 s."""
    unheard: bool = True
    """Whether it was held out of every training."""


@dataclass(frozen=True, eq=False)
class TestSet:
    """Sentences that a voice is judged on."""

    __test__ = False

    sentences: tuple[Sentence, ...]
    corpus_version: int
    notes: tuple[str, ...]
    """Shortcomings of the set, for readers: what a small corpus could not give."""

    @cached_property
    def sha256(self) -> str:
        """Digest of all texts, recordings and references."""
        told = [
            [s.id, s.text, s.language, _digest(s.recording), s.reference.text, _digest(s.reference.wave)]
            for s in self.sentences
        ]
        return digest([VERSION, told])


def make(
    corpus: CorpusVersion, speakers: Sequence[str], settings: TestSetSettings, held: HeldOut | None = None
) -> TestSet:
    """Return the test set of the named speakers, or of all.

    Raises:
        ConfigError: the version lacks a named speaker.
        NoData: no speaker has an utterance to judge and 3 s of speech to clone.
    """
    held = held or HeldOut()
    found = index(corpus, held.data)
    mask = masks(corpus, found, ["target" if speakers else "all"], speakers)["target" if speakers else "all"]
    unit, names = (found.upload, found.uploads) if held.by == "recordings" else (found.speaker, found.speakers)
    aside = np.isin(unit, sorted(held_out_units(found, unit, names, mask, held.data.validation_share)))
    unheard = aside & ~np.isin(found.ids, np.array(sorted(held.heard), dtype=np.bytes_))
    notes: list[str] = []
    fits = mask & (found.frames <= settings.longest_s * 50)
    if (fits & unheard).any():
        rows = np.flatnonzero(fits & unheard)
    elif (fits & aside).any():
        rows = np.flatnonzero(fits & aside)
        notes.append("another training read what this one held out: the figures may flatter the voice")
    else:
        rows = np.flatnonzero(fits)
        notes.append(
            f"nothing of it was held out from training (there are too few {held.by}): the sentences below were "
            "trained on, and the figures flatter the voice"
        )
    taken = choose_rows(found, rows.tolist(), settings.sentences)
    maker = _References(Clips(corpus, found), found, aside, frozenset(taken))
    sentences = [maker.sentence(row, bool(unheard[row])) for row in taken]
    kept = [sentence for sentence in sentences if sentence is not None]
    if not kept:
        who = ", ".join(speakers) or "anybody"
        raise NoData(
            f"corpus version {found.version} of {corpus.store.root} has no {SHORTEST:g} s of speech of {who} to clone: "
            f"add recordings of {SHORTEST:g} s or more with their text and run `voicemill refresh`"
        )
    first = kept[0]
    kept += [
        Sentence(
            id=f"text-{digest(text)[:12]}",
            text=text,
            language="auto",
            speaker=first.speaker,
            recording=None,
            reference=first.reference,
        )
        for text in settings.texts
    ]
    return TestSet(tuple(kept), found.version, tuple(dict.fromkeys([*notes, *maker.notes])))


def gallery(
    corpus: CorpusVersion, testset: TestSet, settings: GallerySettings, held: HeldOut | None = None
) -> dict[str, list[Wave]]:
    """Return utterances by speaker, float32 [samples], 32 kHz, none of them in the test set: a voice is identified
    among these speakers. A speaker without such an utterance is left out."""
    found = index(corpus, (held or HeldOut()).data)
    spoken = np.isin(found.ids, np.array([s.id.encode() for s in testset.sentences], dtype=np.bytes_))
    judged = {sentence.speaker for sentence in testset.sentences}
    order = sorted(range(len(found.speakers)), key=lambda n: (found.speakers[n] not in judged, found.speakers[n]))
    clips, waves = Clips(corpus, found), dict[str, list[Wave]]()
    for number in order[: max(settings.speakers, len(judged))]:
        rows = choose_rows(found, np.flatnonzero((found.speaker == number) & ~spoken).tolist(), settings.utterances)
        if rows:
            waves[found.speakers[number]] = [clips.read(row).cut(settings.longest_s).wave for row in rows]
    return waves


def choose_rows(found: Index, rows: Iterable[int], most: int) -> list[int]:
    """Return at most `most` of the rows, speakers in turn, by a hash of the ids."""
    ordered = sorted(rows, key=lambda row: _hash(found.ids.item(row)))
    by_speaker: dict[int, list[int]] = {}
    for row in ordered:
        by_speaker.setdefault(int(found.speaker[row]), []).append(row)
    turns = chain.from_iterable(zip_longest(*by_speaker.values()))
    return [row for row in turns if row is not None][:most]


class _References:
    """Chooses a reference for each sentence: another recording, in its language, trained on; as far as there is one."""

    def __init__(self, clips: Clips, found: Index, aside: NDArray[np.bool_], sentences: frozenset[int]) -> None:
        self.clips, self.found, self.aside, self.sentences = clips, found, aside, sentences
        self.notes: list[str] = []

    def sentence(self, row: int, unheard: bool) -> Sentence | None:
        speaker = self.found.speakers[self.found.speaker[row]]
        reference = self.reference(row, speaker)
        if reference is None:
            self.notes.append(f"{speaker} has no {SHORTEST:g} s of speech to clone: left out")
            return None
        clip = self.clips.read(row)
        return Sentence(
            id=clip.id,
            text=clip.text,
            language=clip.language,
            speaker=speaker,
            recording=clip.wave,
            reference=reference,
            unheard=unheard,
        )

    def reference(self, row: int, speaker: str) -> Clip | None:
        """Return one utterance of 3 to 10 s; else several joined; else the beginning of a longer one; the sentence
        itself as the last choice."""
        found = self.found
        others = [n for n in np.flatnonzero(found.speaker == found.speaker[row]).tolist() if n != row]
        others.sort(key=lambda n: self._rank(n, row))
        for n in others:
            if SHORTEST <= found.frames[n] / 50 <= LONGEST:
                return self.clips.read(n)
        if joined := self._joined(others):
            self.notes.append(f"{speaker} has no utterance of {SHORTEST:g} to {LONGEST:g} s: several make a reference")
            return joined
        for n in [*others, row]:
            if found.frames[n] / 50 >= SHORTEST:
                if n == row:
                    self.notes.append(f"{speaker} has one utterance: it is sentence and reference at once")
                return self.clips.read(n).cut(LONGEST)
        return None

    def _rank(self, row: int, sentence: int) -> tuple[bool, bool, bool, bool, float]:
        found = self.found
        return (
            bool(found.upload[row] == found.upload[sentence]),
            row in self.sentences,
            bool(found.language[row] != found.language[sentence]),
            bool(self.aside[row]),
            _hash(found.ids.item(row)),
        )

    def _joined(self, rows: list[int]) -> Clip | None:
        parts: list[Clip] = []
        for row in rows:
            if self.found.frames[row] / 50 < SHORTEST:
                parts.append(self.clips.read(row))
                if sum(len(part.wave) for part in parts) >= SHORTEST * RATE:
                    return Clip.joined(parts)
        return None


def _hash(name: bytes) -> float:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) / 2**64


def _digest(wave: Wave | None) -> str:
    return "" if wave is None else hashlib.sha256(wave.tobytes()).hexdigest()
