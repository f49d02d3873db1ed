"""Frame ranges of the phones of an utterance, from the word times of the forced alignment.

Word times do not locate the phones inside a word, so all of them share its frames. Silence between two words belongs to
the punctuation there; without punctuation it is shared by the last phone of the first word and the first phone of the
second. The edges of an utterance are treated likewise.
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
    text: Phonemes, words: Sequence[Word], start: Samples, frames: Frames, hop: Samples
) -> NDArray[np.int32] | None:
    """Earliest frame of each phone and the frame after its latest, int32 [phones, 2], 0..frames.

    `words`: aligned words, with times in the upload; the utterance begins at `start` and has `frames` frames of `hop`
    samples. Ranges are ordered, and may be empty where punctuation has no pause. None where the words have no times, or
    their phones are unknown (`voicemill.model.text.written`).
    """
    parts = stretches(text, [word.text for word in words])
    if parts is None or any(b.start < a.start for a, b in pairwise(words)):
        return None
    bounds = np.zeros((len(text.phones), 2), dtype=np.int32)
    done, end_frame = 0, 0  # first phone and first frame after the words so far
    for part in parts:
        (first, stop), (a, b) = part.phones, part.words
        begin, end = (round((at - start) / hop) for at in (words[a].start, words[b - 1].stop))
        begin = min(max(begin, end_frame), frames)
        end = min(max(end, begin), frames)
        bounds[first:stop] = begin, end
        if first > done:
            bounds[done:first] = end_frame, begin
        else:
            bounds[first, 0] = end_frame
            bounds[:first][-1:, 1] = begin
        done, end_frame = stop, end
    if done < len(bounds):
        bounds[done:] = end_frame, frames
    else:
        bounds[-1, 1] = frames
    return bounds


def unbounded(phones: int, frames: Frames) -> NDArray[np.int32]:
    """Bounds of phones whose position is unknown: 0 and `frames` for each, int32 [phones, 2]."""
    return np.tile(np.array([0, frames], dtype=np.int32), (phones, 1))
