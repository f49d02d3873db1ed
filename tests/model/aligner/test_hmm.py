"""Best paths against the exhaustive search, and chains written out."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemill.model.aligner.hmm import SILENCE, STATES, Chain, align, align_all, chain, free, shortest

Floats = NDArray[np.float32]


def test_a_chain_has_optional_silence_around_every_word_with_phones() -> None:
    text = chain([[0], [], [1, 0]])
    assert text.states.tolist() == [0, 1, 2, 3, 0, 4, 5, 6, 1, 2, 3, 0]
    assert text.words.tolist() == [-1, 0, 0, 0, -1, 2, 2, 2, 2, 2, 2, -1]
    assert np.flatnonzero(text.jumps).tolist() == [1, 5]
    assert shortest(text) == 9


def paths(text: Chain, frames: int) -> Iterator[tuple[int, ...]]:
    """Every path that the chain allows: stay, go on, or leave out one silence."""
    size = len(text.states)

    def grow(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(path) == frames:
            if path[-1] >= size - 2:
                yield path
            return
        at = path[-1]
        following = [at, at + 1] + ([at + 2] if at + 1 < size and text.words[at + 1] < 0 else [])
        for position in following:
            if position < size:
                yield from grow((*path, position))

    for first in (0, 1):
        yield from grow((first,))


@pytest.mark.parametrize("seed", range(8))
def test_align_finds_the_best_of_all_paths(seed: int) -> None:
    text = chain([[0], [1]])
    random = np.random.default_rng(seed)
    scores = random.normal(size=(9, 1 + 2 * STATES)).astype(np.float32) * 3
    totals = {path: float(scores[np.arange(9), text.states[list(path)]].sum()) for path in paths(text, 9)}
    best = max(totals, key=totals.__getitem__)
    assert align(scores, text).tolist() == list(best)
    assert len(totals) > 50


def sequences(frames: int, phones: int) -> Iterator[tuple[int, ...]]:
    """Every sequence of states of whole phones and silences, with the number of phones entered implied by it."""
    units = [[1 + STATES * phone + state for state in range(STATES)] for phone in range(phones)]

    def grow(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(path) == frames:
            if path[-1] == SILENCE or (path[-1] - 1) % STATES == STATES - 1:
                yield path
            return
        options = {path[-1]} if path else set()
        if not path or path[-1] == SILENCE or (path[-1] - 1) % STATES == STATES - 1:
            options |= {SILENCE, *(unit[0] for unit in units)}
        else:
            options.add(path[-1] + 1)
        for state in sorted(options):
            yield from grow((*path, state))

    yield from grow(())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, -1.0, -4.0]))
def test_free_finds_the_best_of_all_sequences(seed: int, entry: float) -> None:
    frames, phones = 6, 2
    scores = np.random.default_rng(seed).normal(size=(frames, 1 + phones * STATES)).astype(np.float32) * 3

    def total(path: tuple[int, ...]) -> float:
        first = {1 + STATES * phone for phone in range(phones)}
        entries = (path[0] in first) + sum(b in first and a != b for a, b in itertools.pairwise(path))
        return float(scores[np.arange(frames), list(path)].sum()) + entry * entries

    path, own = free(scores, entry)
    assert total(tuple(path.tolist())) == pytest.approx(max(map(total, sequences(frames, phones))), abs=1e-4)
    np.testing.assert_array_equal(own, scores[np.arange(frames), path])


def test_clips_aligned_together_have_the_paths_that_they_have_alone() -> None:
    random = np.random.default_rng(5)
    texts = [chain(words) for words in ([[0], [1]], [[1, 0, 1]], [[0, 1], [1], [0]])]
    scores = [random.normal(size=(frames, 1 + 2 * STATES)).astype(np.float32) * 3 for frames in (14, 30, 21)]
    together = align_all(scores, texts)
    assert [path.tolist() for path in together] == [align(*pair).tolist() for pair in zip(scores, texts, strict=True)]
