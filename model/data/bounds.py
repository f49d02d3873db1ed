"""Where the forced alignment of an utterance puts its phones: the frames of the word that each is of.

Word times say nothing of the phones inside a word: all of them share its frames. What is silent between two words goes
to the marks there (commas, full stops); without a mark to the last phone of the one and the first phone of the other.
The edges of an utterance likewise.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from voicemill.model.text.frontend import Phonemes
from voicemill.model.text.written import stretches
from voicemill.storage.records import Word
from voicemill.storage.units import Frames, Samples


def bounds_of(
    found: Phonemes, words: Sequence[Word], start: Samples, frames: Frames, hop: Samples
) -> NDArray[np.int32] | None:
    """int32 [phones, 2]: of each phone the earliest frame and the one after the latest; 0..frames.

    `words`: as aligned, times in the upload; the utterance begins at `start` and has `frames` of `hop` samples. Ranges
    are in order, and may be empty where a mark has no pause. None where the words have no times, or their phones cannot
    be told (`voicemill.model.text.written`).
    """
    parts = stretches(found, [word.text for word in words])
    if parts is None or any(b.start < a.start for a, b in pairwise(words)):
        return None
    bounds = np.zeros((len(found.phones), 2), dtype=np.int32)
    done, last = 0, 0
    """The phone and the frame behind the words before."""
    for part in parts:
        (first, stop), (a, b) = part.phones, part.words
        begin, end = (round((at - start) / hop) for at in (words[a].start, words[b - 1].stop))
        begin = min(max(begin, last), frames)
        end = min(max(end, begin), frames)
        bounds[first:stop] = begin, end
        if first > done:
            bounds[done:first] = last, begin
        else:
            bounds[first, 0] = last
            bounds[:first][-1:, 1] = begin
        done, last = stop, end
    if done < len(bounds):
        bounds[done:] = last, frames
    else:
        bounds[-1, 1] = frames
    return bounds


def unbounded(phones: int, frames: Frames) -> NDArray[np.int32]:
    """The bounds of phones of which nothing is known: int32 [phones, 2], 0 and `frames`."""
    return np.tile(np.array([0, frames], dtype=np.int32), (phones, 1))
