"""k-means, and the codebook made with it."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.minibatches import batch_of
from support.tiny_voice import TRAINED_S2

from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.training.objectives.codebook import kmeans, learn_codebook, pairs
from voicemill.storage.errors import NoData


def clusters(count: int, seed: int) -> torch.Tensor:
    """30 points around each of `count` corners, far from each other."""
    generator = torch.Generator().manual_seed(seed)
    corners = 20 * torch.eye(count + 1)[:count]
    return (corners[:, None] + torch.randn(count, 30, count + 1, generator=generator)).flatten(0, 1)


@settings(max_examples=20)
@given(st.integers(2, 8), st.integers(0, 1000))
def test_separated_clusters_are_found(count: int, seed: int) -> None:
    points = clusters(count, seed)
    found = kmeans(points[torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))], count, seed)
    assert found.sizes.tolist() == [30] * count
    means = points.unflatten(0, (count, 30)).mean(1)
    torch.testing.assert_close(found.centres[found.centres.argmax(1).argsort()], means)
    assert found.distance == pytest.approx(count + 1, rel=0.5)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 1000))
def test_any_number_of_points_and_centres(points: int, count: int, seed: int) -> None:
    """Deterministic; every point is counted; no centre is better for a point than its own mean's cluster says."""
    data = torch.randn(points, 3, generator=torch.Generator().manual_seed(seed))
    found, again = kmeans(data, count, seed), kmeans(data, count, seed)
    assert torch.equal(found.centres, again.centres)
    assert found.centres.shape == (count, 3)
    assert int(found.sizes.sum()) == points
    assert found.centres.isfinite().all()
    nearest = (data[:, None] - found.centres).square().sum(-1).min(1).values
    assert found.distance == pytest.approx(float(nearest.mean()), abs=1e-5)
    if points <= count:
        assert found.distance == 0
        assert sorted(found.sizes.tolist(), reverse=True) == [1] * points + [0] * (count - points)


def test_equal_points_are_one_centre() -> None:
    found = kmeans(torch.tensor([[1.0, 2.0]] * 5 + [[3.0, 4.0]] * 2), 4, 0)
    assert sorted(found.sizes.tolist()) == [0, 0, 2, 5]
    assert found.distance == 0


def endless(batches: list[Minibatch]) -> Iterator[Minibatch]:
    return itertools.cycle(batches)


def test_pairs_take_every_utterance_once() -> None:
    batch = batch_of([7, 4])
    found = pairs(endless([batch]), 10_000)
    assert found.shape == (3 + 2, 6)
    torch.testing.assert_close(found[0], batch.content[0, :, :2].mean(-1))
    torch.testing.assert_close(found[4], batch.content[1, :, 2:4].mean(-1))
    assert len(pairs(endless([batch]), 2)) == 2


def test_no_pairs() -> None:
    with pytest.raises(NoData, match="no utterance has two frames"):
        pairs(iter([]), 5)


def test_a_learnt_codebook_is_used_evenly_whatever_the_scale() -> None:
    """Dimensions of very different size: every entry is used, and codes say what the standardised features say."""
    batch = batch_of([200, 150, 180])
    scale = torch.tensor([1000.0, 1.0, 0.01, 1.0, 50.0, 1.0])[:, None]
    batch.content.mul_(scale).add_(7 * scale)
    network = Synthesizer(TRAINED_S2, posterior=False)
    found = learn_codebook(network, endless([batch]), 3)
    codes = torch.cat([network.codes(batch.content[row : row + 1, :, :n])[0] for row, n in enumerate([200, 150, 180])])
    assert torch.equal(codes.bincount(minlength=12), found.sizes)
    assert int(found.sizes.min()) > 5
    projected = network.ssl_proj(batch.content[:1])[0, :, :100]
    assert projected.mean(1).abs().max() < 0.5
    assert (projected.std(1) - 1).abs().max() < 0.3
    assert found.distance < 6
