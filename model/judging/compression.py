"""Effect of exporting a voice in fewer bits: size, speed and speech.

The sentences of a test set are synthesised by the voice in float32, by the voice in its usual precision, and by its
graphs. The latter two are compared with the first: the most likely codes, and the log-mel rendered from the same codes
with the same noise (`model.judging.agreement`). The light system has no codes: its whole speech is compared, frames
aligned in time.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from voicemill.model.export.folder import GraphFolder
from voicemill.model.judging.agreement import LOG_MEL, TOKENS, agreements
from voicemill.model.judging.metrics import alignment
from voicemill.model.judging.testset.testset import TestSet
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Voice
from voicemill.model.voices.opening import AnyVoice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError, VoicemillError

FLOAT = 4
"""Bytes of a weight in float32."""


@dataclass(frozen=True)
class Part:
    """Size of one network, or of all ("total")."""

    network: str
    parameters: int
    """Number of weights that are used to speak."""
    before: int
    """Bytes in float32."""
    after: int
    """Bytes of its graphs."""

    @property
    def smaller(self) -> float:
        """Ratio of the sizes, before / after."""
        return self.before / self.after


@dataclass(frozen=True)
class Spoken:
    """Speed and accuracy of one way to compute a voice."""

    way: str
    real_time_factor: float
    """Seconds per second of speech."""
    log_mel_distance: float | None
    """Distance to the voice in float32, nepers; None for that one."""
    token_agreement: float | None
    """Share of equal codes; None for the voice in float32, and for voices without codes."""


def parts(folder: GraphFolder) -> list[Part]:
    """Return the size of every network of a folder, and their sum."""
    found = [
        Part(network, count, FLOAT * count, folder.bytes_of(network))
        for network, count in folder.manifest.parameters.items()
    ]
    sums = (sum(getattr(part, name) for part in found) for name in ("parameters", "before", "after"))
    return [*found, Part("total", *sums)]


def spoken(ways: dict[str, AnyVoice], testset: TestSet, options: SpeakOptions | None = None) -> list[Spoken]:
    """Return the figures of every way over a test set; the others are compared with the first.

    Raises ConfigError where no sentence can be synthesised.
    """
    options = replace(options or SpeakOptions(), watermark=None, pause_s=0.0)
    (first, exact), *others = ways.items()
    waves: dict[str, dict[str, Wave]] = {}
    factors = {}
    for way, voice in ways.items():
        waves[way], factors[way] = _said(voice, testset, options)
    found = [Spoken(first, factors[first], None, None)]
    for way, voice in others:
        if isinstance(voice, Voice):
            totals = agreements(exact, voice, testset, options).totals
            distance, agreed = totals.get(LOG_MEL), totals.get(TOKENS)
        else:
            pairs = [(waves[first][key], wave) for key, wave in waves[way].items() if key in waves[first]]
            distance, agreed = float(np.mean([aligned_distance(*pair) for pair in pairs])), None
        found.append(Spoken(way, factors[way], distance, agreed))
    return found


def aligned_distance(one: Wave, other: Wave) -> float:
    """Return the mean |difference|, nepers, of the log-mels of two waves aligned in time, float32 [samples], 32 kHz."""
    mels = alignment.log_mel(one), alignment.log_mel(other)
    rows, columns = alignment.warp(alignment.cepstra(mels[0]), alignment.cepstra(mels[1])).T
    return float(np.abs(mels[0][rows] - mels[1][columns]).mean())


def _said(voice: AnyVoice, testset: TestSet, options: SpeakOptions) -> tuple[dict[str, Wave], float]:
    """Speech of each sentence, and the real-time factor; the first sentence is synthesised once more, as a warm-up."""
    waves: dict[str, Wave] = {}
    took = seconds = 0.0
    why = "the test set is empty"
    for number, sentence in enumerate([*testset.sentences[:1], *testset.sentences]):
        clip, told = sentence.reference, replace(options, language=sentence.language or "auto")
        try:
            like = voice.reference([clip.wave], clip.text, clip.language or "auto")
            began = time.perf_counter()
            speech = voice.speak(sentence.text, like, told)
        except VoicemillError as error:  # one failed sentence does not end the comparison
            why = str(error)
            continue
        if number:
            took, seconds = took + time.perf_counter() - began, seconds + speech.seconds
            waves[sentence.id] = speech.wave
    if not waves:
        raise ConfigError(f"no sentence of the test set could be synthesised: {why}")
    return waves, took / seconds
