"""Speech that no word of a text covers: the sign of a text with words missing.

A forced alignment spends all of the audio on the text that it is given. Where words are missing, the speech is spent on
a pause or on a word that is stretched over it, and any phones explain it far better than that. So uncovered speech is a
pause that scores under `PAUSE` or in which any phones would speak, and what a word that scores under `WORD` has beyond
`LONGEST` frames a phone. Score and phones of a pause are both needed: behind the last word a decoder that has dropped
all other states has nothing to compare silence with. Measured by tests/bench/text_witness.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voicemill.storage.units import Frames

PAUSE, WORD = 0.69, 0.61
"""Scores as those of words, 0..1: 1 = the text explains the frames as well as any phones."""
FULL: tuple[Frames, float] = (60, 0.5)
"""Frames of 10 ms from which a pause may be full of speech, and the share of them in which any phones speak."""
LONGEST: Frames = 14
"""Frames of 10 ms that a phone may last: longer ones are rare, but for those before a pause."""


@dataclass(frozen=True)
class Part:
    """A word or a pause on the path of a text."""

    start: Frames
    stop: Frames
    score: float
    """Goodness of fit, 0..1, see the aligner."""
    phones: int
    """Phones of the word; 0 for a pause."""
    spoken: float = 0.0
    """Share of the frames of a pause that the best sequence of any phones and silences takes for a phone, 0..1."""

    @property
    def is_full(self) -> bool:
        """Whether it is a pause in which somebody speaks."""
        frames, share = FULL
        full = self.stop - self.start >= frames and self.spoken >= share
        return not self.phones and (self.score < PAUSE or full)


def uncovered(parts: Iterable[Part], word: float = WORD) -> Iterator[tuple[Frames, Frames]]:
    """Stretches of speech without a word, in order. That of a stretched word is counted at its end.

    `word`: score under which a word that lasts too long is one, as the aligner scores.
    """
    for part in parts:
        if part.phones and part.score < word and part.stop - part.start > LONGEST * part.phones:
            yield part.start + LONGEST * part.phones, part.stop
        elif part.is_full:
            yield part.start, part.stop
