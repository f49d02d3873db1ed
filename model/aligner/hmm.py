"""Hidden Markov models of texts and of any speech, and the best paths through them.

A text is a chain: every phone has STATES states, and between words, before the first and after the last there is a
state of silence that may be left out. `align` is Viterbi's algorithm over that chain; `free` is the best path through
any sequence of phones and silences, against which an alignment is judged. Transitions cost nothing except the entry of
a phone in `free`, and every frame in one state of a text beyond LONG: a phone with few examples has a broad model, and
without that price swallows what the rest of a text does not fit. How long a state has lasted is known of the best path
into it only, so an alignment is the best one as long as no state lasts longer than that. Cost: one pass of numpy a
frame, some 20 microseconds, in which `align_all` serves several clips.
Source: Rabiner, Proc. IEEE 77(2), 1989; Witt and Young, Speech Communication 30, 2000 (the ratio of the two).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.units import Frames

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

STATES = 3
"""States of a phone: it lasts at least 30 ms."""
SILENCE = 0
"""State of silence; phone p has the states 1 + STATES * p and the following."""


LONG: Frames = 20
"""Frames that a state of a phone may last for nothing, 200 ms."""
OVERTIME = np.float32(8.0)
"""Price of every further frame, in nepers of likelihood."""


@dataclass(frozen=True)
class Chain:
    """States of a text in order."""

    states: Ints
    """[positions], index of the column of scores of each position."""
    words: Ints
    """[positions], number of the word of each position; -1 = silence."""

    @property
    def jumps(self) -> NDArray[np.bool_]:
        """Whether a position may be entered from the one before the last: it follows an optional silence."""
        jumps = np.zeros(len(self.states), bool)
        jumps[1:] = self.words[:-1] < 0
        return jumps


def chain(words: Sequence[Sequence[int]]) -> Chain:
    """The chain of a text: phones of each word, with optional silence around every word that has any."""
    states, owners = [SILENCE], [-1]
    for number, phones in enumerate(words):
        for phone in phones:
            states += range(1 + STATES * phone, 1 + STATES * (phone + 1))
            owners += [number] * STATES
        if phones:
            states.append(SILENCE)
            owners.append(-1)
    return Chain(np.array(states), np.array(owners))


def shortest(text: Chain) -> int:
    """Frames that a text needs at least."""
    return int((text.words >= 0).sum())


def align(scores: Floats, text: Chain) -> Ints:
    """Position of every frame on the best path through float32 [frames, states], log likelihoods.

    The caller sees to it that the frames are `shortest(text)` or more.
    """
    return align_all([scores], [text])[0]


def align_all(scores: Sequence[Floats], texts: Sequence[Chain]) -> list[Ints]:
    """`align` of several clips in one pass, frame by frame: the same paths, each clip for a part of the cost."""
    clips, frames = len(texts), max(map(len, scores))
    size = max(len(text.states) for text in texts)
    emitted = np.full((frames, clips, size), -np.inf, np.float32)
    jumps = np.full((clips, size), -np.inf, np.float32)
    for clip, (own, text) in enumerate(zip(scores, texts, strict=True)):
        emitted[: len(own), clip, : len(text.states)] = own[:, text.states]
        jumps[clip, : len(text.states)][text.jumps] = 0
    best = np.full((clips, size), -np.inf, np.float32)
    best[:, :2] = emitted[0, :, :2]
    moves = np.zeros((frames, clips, size), np.int8)
    lengths, ends = np.array([len(own) for own in scores]), best.copy()
    step, jump = np.full_like(best, -np.inf), np.full_like(best, -np.inf)
    limit = np.full((clips, size), LONG, np.int32)
    for clip, text in enumerate(texts):
        limit[clip, : len(text.states)][text.words < 0] = frames
    stayed = np.ones((clips, size), np.int32)
    for frame in range(1, frames):
        step[:, 1:] = best[:, :-1]
        jump[:, 2:] = best[:, :-2]
        jump += jumps
        best = np.where(stayed < limit, best, best - OVERTIME)
        moved = step > best
        best = np.where(moved, step, best)
        further = jump > best
        best = np.where(further, jump, best) + emitted[frame]
        stayed = np.where(moved | further, 1, stayed + 1)
        moves[frame] = np.where(further, 2, moved)
        ended = lengths == frame + 1
        if ended.any():
            ends[ended] = best[ended]
    paths = []
    for clip, (own, text) in enumerate(zip(scores, texts, strict=True)):
        last = ends[clip, : len(text.states)]
        at = len(last) - 1 if last[-1] >= last[-2] else len(last) - 2
        path = np.empty(len(own), np.int64)
        for frame in range(len(own) - 1, -1, -1):
            path[frame] = at
            at -= int(moves[frame, clip, at])
        paths.append(path)
    return paths


def free(scores: Floats, entry: float) -> tuple[Ints, Floats]:
    """Best path through any phones, float32 [frames, states] -> state of every frame, and its score [frames].

    `entry`: log of the price of entering a phone, at most 0.
    """
    frames, size = scores.shape
    first = np.arange(1, size, STATES)
    last = first + STATES - 1
    best = np.full(size, -np.inf, np.float32)
    best[SILENCE] = scores[0, SILENCE]
    best[first] = scores[0, first] + entry
    origins = np.zeros((frames, size), np.int32)
    columns = np.arange(size)
    for frame in range(1, frames):
        step = np.empty_like(best)
        step[1:] = best[:-1]
        origin = columns - 1
        ends = last[best[last].argmax()]
        end = int(ends) if best[ends] >= best[SILENCE] else SILENCE
        step[first] = best[end] + entry
        origin[first] = end
        step[SILENCE], origin[SILENCE] = best[ends], ends
        moved = step > best
        origins[frame] = np.where(moved, origin, columns)
        best = np.where(moved, step, best) + scores[frame]
    ends = last[best[last].argmax()]
    at = int(ends) if best[ends] >= best[SILENCE] else SILENCE
    path = np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = at
        at = origins[frame, at]
    return path, scores[np.arange(frames), path]
