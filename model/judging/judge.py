"""All figures of a voice over a test set.

A sentence without a recording has no distortion, pitch or length to compare; its voice is compared with the reference.
A figure that cannot be computed for one sentence is left out there; one that cannot be computed at all is named with
the reason. A recogniser judges the languages that it knows: an English one would write English for any. A sentence that
could not be synthesised gets the figures of silence, where these exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from voicemill.model.judging.judges import Judges
from voicemill.model.judging.metrics.against_recording import duration_error, f0_error, mcd
from voicemill.model.judging.metrics.alignment import SHORTEST, Cepstra, cepstra, log_mel, seconds_of, speech_of, warp
from voicemill.model.judging.metrics.recognition import cer, plain, wer
from voicemill.model.judging.metrics.speaker import Embeddings, enrol, nearest
from voicemill.model.judging.testset.speech import Speech
from voicemill.model.judging.testset.testset import Sentence, TestSet
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import Seconds

AGAINST_RECORDING = ("mcd", "f0_error", "duration_error")
Items = dict[str, dict[str, float]]
"""Metric -> sentence -> figure."""


@dataclass(frozen=True)
class Figures:
    """Figures by metric and sentence; missing: metric -> reason."""

    items: Mapping[str, Mapping[str, float]]
    missing: Mapping[str, str]

    @property
    def totals(self) -> dict[str, float]:
        """Return the mean of each metric; the median of the real-time factor."""
        return {
            name: (median if name == "rtf" else mean)(found.values()) for name, found in self.items.items() if found
        }


@dataclass(frozen=True, eq=False)
class _Measured:
    """Features of a wave that are compared."""

    cepstra: Cepstra
    """Cepstra of the speech, without the silence at its ends."""
    f0: NDArray[np.float32]
    """F0 at the same frames."""
    seconds: Seconds


class Judge:
    """Judge of speech on one test set. The features of the recordings are cached: it may judge several voices."""

    def __init__(self, testset: TestSet, judges: Judges, gallery: Mapping[str, Sequence[Wave]]) -> None:
        """`gallery`: speaker -> recordings, none of the test set."""
        self.testset, self.judges, self._recordings = testset, judges, gallery
        self._real: dict[str, _Measured] = {}
        self._embedded: dict[Path | None, dict[str, Embeddings]] = {}

    def speech(self, speech: Speech) -> Figures:
        """Return the figures of the speech of a voice."""
        waves = {s.id: wave for s in self.testset.sentences if (wave := speech.wave(s.id)) is not None}
        found = self._figures(waves, speech.folder)
        for sentence in (s for s in self.testset.sentences if s.recording is not None and s.id in waves):
            for name, value in self._against(sentence, waves[sentence.id]).items():
                found[name][sentence.id] = value
        for sentence in (s for s in self.testset.sentences if s.id not in waves):
            for name, value in self._silence(sentence).items():
                found[name][sentence.id] = value
        found["rtf"] = {name: s.took / s.seconds for name, s in speech.spoken.items() if not s.error}
        return self._with_reasons(found)

    @cached_property
    def real(self) -> Figures:
        """Return the figures of the recordings themselves, where defined: the limit of what the judges can measure.

        Similarity: that of a recording to the reference, another recording of the same speaker.
        """
        recorded = {s.id: s.recording for s in self.testset.sentences if s.recording is not None}
        found = self._figures(recorded, None)
        found["similarity"] = {}
        if self.judges.speaker:
            references = {
                s.id: s.reference for s in self.testset.sentences if s.id in recorded and s.reference.id != s.id
            }
            for name, clip in references.items():
                other = self.judges.speaker.embed([_enough(clip.wave)])[0]
                found["similarity"][name] = float(self._embedded[None][name] @ other)
        return Figures({name: items for name, items in found.items() if items}, self.judges.missing)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Limits of the judges on this test set, for readers of the figures."""
        unknown = [s for s in self.testset.sentences if s.id not in self._recognisable]
        if not self.judges.recogniser or not unknown or len(unknown) == len(self.testset.sentences):
            return ()
        return (
            f"{len(unknown)} of {len(self.testset.sentences)} sentences have no cer and wer: {self._unknown_languages}",
        )

    def likeness(self, speech: Speech | None, most: int = 12) -> dict[str, dict[str, float]]:
        """Return the mean cosine of speech that was judged to speakers of the gallery: speaker of the sentences ->
        speaker of the gallery -> cosine; own speakers first, then those nearest to the recordings, `most` in all.

        `speech` = None: the recordings. {} where no encoder judged.
        """
        if not self.judges.speaker or not self._gallery:
            return {}
        _ = self.real  # embeds the recordings
        embedded, sentences = self._embedded.get(speech.folder if speech else None, {}), self.testset.sentences
        own = list(dict.fromkeys(s.speaker for s in sentences))
        rows_of = list(self._embedded[None].values()) or list(embedded.values())
        middle = np.mean(np.stack(rows_of), axis=0) if rows_of else np.zeros(1, np.float32)
        near = {name: float(np.sum(row * middle)) for name, row in self._gallery.items() if name not in own}
        shown = [*(name for name in own if name in self._gallery), *sorted(near, key=lambda name: -near[name])][:most]
        rows = {name: [embedded[s.id] for s in sentences if s.speaker == name and s.id in embedded] for name in own}
        return {
            name: {other: float(np.mean(np.stack(row) @ self._gallery[other])) for other in shown}
            for name, row in rows.items()
            if row
        }

    def _figures(self, waves: Mapping[str, Wave], source: Path | None) -> Items:
        """Figures that need no recording. `source`: folder of the speech; None = the recordings."""
        found: Items = {name: {} for name in METRICS}
        sentences = [s for s in self.testset.sentences if s.id in waves]
        if self.judges.speaker:
            embedded = self._embedded[source] = {}
            for sentence in sentences:
                voice = embedded[sentence.id] = self.judges.speaker.embed([_enough(waves[sentence.id])])[0]
                found["similarity"][sentence.id] = float(voice @ self._voices[sentence.id])
                if sentence.speaker in self._gallery and len(self._gallery) > 1:
                    found["identified"][sentence.id] = float(nearest(voice, self._gallery) == sentence.speaker)
        if self.judges.recogniser:
            known = [s for s in sentences if s.id in self._recognisable]
            for sentence, heard in zip(known, self._transcripts(known, waves), strict=True):
                text = plain(sentence.text, sentence.language)
                if text:
                    said = plain(heard, sentence.language)
                    found["cer"][sentence.id] = cer(text, said)
                    found["wer"][sentence.id] = wer(text, said, sentence.language)
        if self.judges.opinion:
            found["mos"] = {s.id: self.judges.opinion.score(_enough(waves[s.id])) for s in sentences}
        return found

    def _against(self, sentence: Sentence, wave: Wave) -> dict[str, float]:
        if sentence.id not in self._real:
            assert sentence.recording is not None
            self._real[sentence.id] = self._measure(sentence.recording)
        spoken, real = self._measure(wave), self._real[sentence.id]
        path = warp(spoken.cepstra, real.cepstra)
        found = {
            "mcd": mcd(spoken.cepstra, real.cepstra, path),
            "duration_error": duration_error(spoken.seconds, real.seconds),
        }
        pitch = f0_error(spoken.f0, real.f0, path)
        return found if pitch is None else found | {"f0_error": pitch}

    def _silence(self, sentence: Sentence) -> dict[str, float]:
        """Figures of a sentence that could not be synthesised: no speaker and no word is recognised. Without them a
        failure would be an advantage."""
        found = {} if sentence.recording is None else {"duration_error": 1.0}
        if sentence.id in self._recognisable and plain(sentence.text, sentence.language):
            found |= {"cer": 1.0, "wer": 1.0}
        if self.judges.speaker and sentence.speaker in self._gallery and len(self._gallery) > 1:
            found["identified"] = 0.0
        return found

    def _measure(self, wave: Wave) -> _Measured:
        wave = np.pad(wave, (0, max(0, SHORTEST - len(wave))))
        mel = log_mel(wave)
        speech = speech_of(mel)
        f0 = self.judges.pitch.track([wave])[0][::2][: len(mel)]
        return _Measured(cepstra(mel)[speech], f0[speech], seconds_of(speech))

    def _transcripts(self, sentences: Sequence[Sentence], waves: Mapping[str, Wave]) -> list[str]:
        assert self.judges.recogniser is not None
        texts: dict[str, str] = {}
        languages = {s.id: self._languages[s.id] for s in sentences}
        for language in dict.fromkeys(languages.values()):
            mine = [s for s in sentences if languages[s.id] == language]
            heard = self.judges.recogniser.transcribe([waves[s.id] for s in mine], language)
            texts |= {s.id: text for s, (text, _) in zip(mine, heard, strict=True)}
        return [texts[s.id] for s in sentences]

    @cached_property
    def _languages(self) -> dict[str, str]:
        """Sentence -> its language."""
        from voicemill.model.text.frontend import language_of

        return {s.id: language_of(s.text, s.language) for s in self.testset.sentences}

    @cached_property
    def _recognisable(self) -> frozenset[str]:
        """Sentences whose language the recogniser knows."""
        recogniser = self.judges.recogniser
        return frozenset(name for name, code in self._languages.items() if recogniser and recogniser.knows(code))

    @property
    def _unknown_languages(self) -> str:
        """Reason why sentences have no error rate."""
        codes = sorted({code for name, code in self._languages.items() if name not in self._recognisable})
        return (
            f"{self.judges.models.get('recogniser', 'the recogniser')} does not recognise {', '.join(codes)}; name one "
            "that does with --recogniser, such as Systran/faster-whisper-small"
        )

    @cached_property
    def _voices(self) -> dict[str, Embeddings]:
        """Sentence -> embedding of its recording, or else of its reference."""
        assert self.judges.speaker is not None
        encoder = self.judges.speaker
        return {
            s.id: encoder.embed([_enough(s.reference.wave if s.recording is None else s.recording)])[0]
            for s in self.testset.sentences
        }

    @cached_property
    def _gallery(self) -> dict[str, Embeddings]:
        assert self.judges.speaker is not None
        return enrol(self.judges.speaker, self._recordings)

    def _with_reasons(self, found: Items) -> Figures:
        missing = dict(self.judges.missing)
        items = {name: values for name, values in found.items() if values}
        if self.judges.recogniser and not self._recognisable:
            missing |= {"cer": self._unknown_languages, "wer": self._unknown_languages}
        for name in (n for n in ("similarity", "identified", "cer", "wer", "mos", "rtf") if n not in items | missing):
            few = name == "identified" and len(self._recordings) < 2
            missing[name] = "the corpus has one speaker with recordings to compare with" if few else _UNSPOKEN
        recorded = any(s.recording is not None for s in self.testset.sentences)
        for name in (n for n in AGAINST_RECORDING if n not in items):
            missing[name] = "no sentence of the test set has a recording" if not recorded else _UNSPOKEN
        if "f0_error" not in items and "mcd" in items:
            missing["f0_error"] = "no sentence has enough frames that are voiced in both speech and recording"
        return Figures(items, missing)


_UNSPOKEN = "no sentence of the test set could be synthesised and judged: see `unspoken` in the lineage"


def _enough(wave: Wave) -> Wave:
    """The wave padded to a second at least: networks that pool over time need some frames."""
    return np.pad(wave, (0, max(0, 32_000 - len(wave))))
