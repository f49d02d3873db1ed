"""Spans contain their runs, keep their distance, and are cut within the limits."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemill.model.audio.spans import Span, cut, padded_runs, speech_runs
from voicemill.storage.units import RATE

Detection = tuple[NDArray[np.float32], int, int]
some_samples = st.integers(0, 2 * RATE)


@st.composite
def detections(draw: st.DrawFn) -> Detection:
    """Probabilities in runs of frames, the hop, and a length that ends inside the last frame."""
    step = draw(st.sampled_from([320, 1024]))
    level = st.sampled_from([0.0, 0.1, 0.44, 0.45, 0.6, 0.7, 0.9, 1.0])
    runs = draw(st.lists(st.tuples(st.integers(1, 40 * RATE // step), level), min_size=1, max_size=12))
    found = np.repeat(np.array([value for _, value in runs], np.float32), [count for count, _ in runs])
    return found, step, len(found) * step - draw(st.integers(0, step - 1))


@given(detections(), some_samples, some_samples)
def test_padding_contains_all_speech_and_joins_every_short_gap(detection: Detection, pad: int, gap: int) -> None:
    found, step, samples = detection
    runs = speech_runs(found, step, samples, 0.7, 0.45, 3200)
    spans = padded_runs(runs, samples, pad, gap)
    assert all(any(span.start <= run.start and run.stop <= span.stop for span in spans) for run in runs)
    assert all(0 <= span.start < span.stop <= samples for span in spans)
    assert all(after.start - before.stop >= max(gap, 1) for before, after in pairwise(spans))
    assert padded_runs(spans, samples, 0, gap) == spans
    if spans:  # nothing is added but the padding and the gaps that were joined
        added = sum(span.stop - span.start for span in spans) - sum(run.stop - run.start for run in runs)
        assert added <= 2 * pad * len(runs) + gap * (len(runs) - len(spans))


@given(detections(), st.sampled_from([0, 3200, 20000]))
def test_runs_are_the_frames_between_the_thresholds(detection: Detection, least: int) -> None:
    found, step, samples = detection
    runs = speech_runs(found, step, samples, 0.7, 0.45, least)
    again = np.zeros_like(found)
    for start, stop in runs:
        frames = found[start // step : -(-stop // step)]
        assert frames.min() >= np.float32(0.45)
        assert frames.max() >= np.float32(0.7)
        assert len(frames) * step >= least
        again[start // step : -(-stop // step)] = 1
    assert speech_runs(again, step, samples, 0.7, 0.45, least) == runs
    if least == 0:
        assert not (found[again == 0] >= np.float32(0.7)).any()


@given(st.integers(RATE, 200 * RATE), st.floats(2.1, 15), st.sampled_from([320, 1024]))
def test_speech_without_a_pause_is_cut_into_pieces_of_like_length(length: int, limit: float, step: int) -> None:
    span = Span(500, 500 + length)
    found = np.ones(-(-span.stop // step), np.float32)
    longest = round(limit * RATE)
    pieces = cut(span, [span], found, step, longest, RATE)
    assert (pieces[0].start, pieces[-1].stop) == span
    assert all(one.stop == two.start for one, two in pairwise(pieces))
    lengths = [stop - start for start, stop in pieces]
    assert max(lengths) <= longest
    assert len(pieces) == 1 or min(lengths) >= max(RATE, longest // 4)
    assert len(pieces) <= 4 * length / longest + 1


def test_four_hours_without_a_pause_are_cut_in_a_moment() -> None:
    span = Span(0, 4 * 3600 * RATE)
    found = np.random.default_rng(1).uniform(0.7, 1, span.stop // 320).astype(np.float32)
    pieces = cut(span, [span], found, 320, 15 * RATE, RATE)
    assert sum(piece.stop - piece.start for piece in pieces) == span.stop
    assert len(pieces) < 4 * span.stop / (15 * RATE)
