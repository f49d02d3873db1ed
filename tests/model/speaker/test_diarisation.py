"""Diarisation on made vectors and on noise: clusters, the sequence of voices, and windows that tile the speech."""

import numpy as np
import pytest
import torch

from voicemill.model.audio.spans import Span
from voicemill.model.speaker.comparison import Vectors, unit
from voicemill.model.speaker.diarisation import (
    CLUSTER,
    FINE,
    FRAME,
    MOST,
    Windows,
    diarise,
    embed,
    find_voices,
    means_of,
    most_likely_path,
)
from voicemill.model.speaker.encoder import HOP, WINDOW, Encoder


def voice(seed: int, count: int, spread: float = 0.3) -> Vectors:
    rng = np.random.default_rng(seed)
    centre = unit(np.abs(rng.normal(size=256)).astype(np.float32))
    return unit(centre + (spread / 16) * np.random.default_rng([seed, count]).normal(size=(count, 256)))


def windows_of(vectors: Vectors, step: int = 80) -> Windows:
    edges = np.arange(len(vectors) + 1) * step * FRAME
    return Windows(vectors, np.stack([edges[:-1], edges[1:]], axis=1), step)


@pytest.mark.parametrize("voices", [1, 2, 4])
def test_every_voice_is_found_and_windows_of_two_are_none(voices: int) -> None:
    parts = [voice(seed, 20) for seed in range(voices)]
    joints = [unit(voice(a, 1) + voice(a + 1, 1)) for a in range(voices - 1)]
    means = find_voices(windows_of(np.concatenate([*parts, *joints])), CLUSTER)
    similar = means @ np.stack([unit(part.mean(0)) for part in parts]).T
    assert similar.shape == (voices, voices)
    assert sorted(similar.argmax(0)) == list(range(voices))
    assert similar.max(0).min() > 0.99


def test_a_voice_of_under_three_seconds_is_none() -> None:
    found = [len(find_voices(windows_of(np.concatenate([voice(1, 30), voice(2, n)])), CLUSTER)) for n in (3, 4)]
    assert found == [1, 2]


def test_many_windows_are_thinned_out() -> None:
    many = np.concatenate([voice(1, MOST), voice(2, MOST // 2)])
    assert len(find_voices(windows_of(many), CLUSTER)) == 2


def test_alike_clusters_are_one_voice() -> None:
    own = voice(1, 40)
    labels = np.repeat([5, 9, 2], [20, 20, 20])
    assert len(means_of(np.concatenate([own, voice(2, 20)]), labels, 4)) == 2


def test_changes_cost_so_that_single_windows_do_not_change_the_voice() -> None:
    a, b = voice(1, 30), voice(2, 30)
    voices = np.stack([unit(a.mean(0)), unit(b.mean(0))])
    vectors = np.concatenate([a[:15], unit(0.45 * a[:1] + 0.55 * b[:1]), a[15:], b])
    assert most_likely_path(windows_of(vectors, FINE), voices).tolist() == [0] * 31 + [1] * 30


def test_there_is_no_turn_without_speech() -> None:
    assert diarise(None, [], lambda span: np.zeros(0, np.float32)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [20, 160])
def test_windows_tile_the_spans_and_pieces_have_the_windows_of_the_whole(step: int) -> None:
    """A span of a piece and a rest, one of less than a window, one of a sample more than a window."""
    torch.manual_seed(0)
    encoder = Encoder().eval()
    spans = [Span(3, 3 + 35 * 32_000), Span(70 * 32_000, 70 * 32_000 + 9_000), Span(2_400_000, 2_451_201)]
    wave = np.random.default_rng(1).normal(0, 0.1, 40 * 32_000).astype(np.float32)
    windows = embed(encoder, spans, lambda span: wave[span.start // 2 : span.stop // 2], step)
    own = windows.spans.tolist()
    assert [start for (start, _), first in zip(own, windows.after_pause, strict=True) if first] == [
        s.start for s in spans
    ]
    assert sum(stop - start for start, stop in own) == sum(span.stop - span.start for span in spans)
    assert all(start < stop for start, stop in own)
    whole = [wave[span.start // 2 : span.stop // 2] for span in spans]
    expected = encoder.embed_windows([whole[0], np.resize(whole[1], WINDOW * HOP), whole[2]], step)
    np.testing.assert_allclose(windows.vectors, np.concatenate([expected[0], expected[1][:1], expected[2]]), atol=1e-5)
