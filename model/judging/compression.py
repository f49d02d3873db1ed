"""What exporting in fewer bits does to a voice: bytes, speed, and what it says. A table of it.

Said are sentences of a test set, by the voice in float32, by the voice as it speaks by itself, and by its graphs. What
the latter two say is compared with the first: the codes that are found likeliest, and the log-mel of what is rendered
of the same codes with the same noise (`model.judging.agreement`). The light system says no codes: its whole speech is
compared, frames aligned in time.
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
"""Bytes of a weight before."""


@dataclass(frozen=True)
class Part:
    """One network, or all ("total")."""

    network: str
    parameters: int
    """Weights that speak."""
    before: int
    """Bytes in float32."""
    after: int
    """Bytes of its graphs."""

    @property
    def smaller(self) -> float:
        """Times."""
        return self.before / self.after


@dataclass(frozen=True)
class Spoken:
    """One way to speak."""

    way: str
    real_time_factor: float
    """Seconds per second of speech."""
    log_mel_distance: float | None
    """To the voice in float32, nepers; None for that one."""
    token_agreement: float | None
    """Share of the codes; None for that one, and where no codes are said."""


def parts(folder: GraphFolder) -> list[Part]:
    """Every network of a folder, and their sum."""
    found = [
        Part(network, count, FLOAT * count, folder.bytes_of(network))
        for network, count in folder.manifest.parameters.items()
    ]
    sums = (sum(getattr(part, name) for part in found) for name in ("parameters", "before", "after"))
    return [*found, Part("total", *sums)]


def spoken(ways: dict[str, AnyVoice], testset: TestSet, options: SpeakOptions | None = None) -> list[Spoken]:
    """Every way over a test set; the others are compared with the first.

    Raises ConfigError where none of the sentences can be said.
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
    """Mean |difference| of the log-mels of two waves (float32 [samples], 32 kHz), aligned in time; nepers."""
    mels = alignment.log_mel(one), alignment.log_mel(other)
    rows, columns = alignment.warp(alignment.cepstra(mels[0]), alignment.cepstra(mels[1])).T
    return float(np.abs(mels[0][rows] - mels[1][columns]).mean())


def _said(voice: AnyVoice, testset: TestSet, options: SpeakOptions) -> tuple[dict[str, Wave], float]:
    """What it says of each sentence, and seconds per second; once more than needed, so that none is the first."""
    waves: dict[str, Wave] = {}
    took = seconds = 0.0
    why = "the test set is empty"
    for number, sentence in enumerate([*testset.sentences[:1], *testset.sentences]):
        clip, told = sentence.reference, replace(options, language=sentence.language or "auto")
        try:
            like = voice.reference([clip.wave], clip.text, clip.language or "auto")
            began = time.perf_counter()
            speech = voice.speak(sentence.text, like, told)
        except VoicemillError as error:  # one sentence that cannot be said is no reason to say none
            why = str(error)
            continue
        if number:
            took, seconds = took + time.perf_counter() - began, seconds + speech.seconds
            waves[sentence.id] = speech.wave
    if not waves:
        raise ConfigError(f"no sentence of the test set could be said: {why}")
    return waves, took / seconds
